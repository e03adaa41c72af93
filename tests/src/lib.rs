//! Tests across processes: namespaces, real sockets, faults.
