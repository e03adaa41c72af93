//! A few threads that share the tasks of one job at a time.
#![expect(unsafe_code, reason = "a job's closure lives no longer than the job")]

use std::any::Any;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::affinity::Affinity;

/// How long a thread looks for work before it sleeps: longer than it waits for another's last task in most layers of a small
/// network. Waking it takes 50 µs and more in a virtual machine.
const SPIN: Duration = Duration::from_micros(200);

/// What a job does with the number of a task and that of the thread.
type Work<'a> = dyn Fn(usize, usize) + Sync + 'a;

/// Threads, of which the caller of [`Threads::run`] is one.
#[derive(Debug)]
pub(super) struct Threads {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Counts the jobs.
    job: AtomicUsize,
    /// The next task that nobody has taken.
    next: AtomicUsize,
    /// Workers that take part in the job and have not finished with it. It grows only under the lock.
    busy: AtomicUsize,
    stop: AtomicBool,
    state: Mutex<State>,
    /// A job has come, or the end.
    begun: Condvar,
    /// No worker is busy any more.
    ended: Condvar,
    /// One for each worker.
    affinities: Vec<Affinity>,
}

#[derive(Default)]
struct State {
    /// What a worker may take part in.
    job: Option<Job>,
    /// What a worker's task panicked with.
    panic: Option<Box<dyn Any + Send>>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("tasks", &self.job.map(|job| job.tasks)).finish_non_exhaustive()
    }
}

#[derive(Clone, Copy)]
struct Job {
    tasks: usize,
    /// Valid until `busy` is zero.
    work: *const Work<'static>,
}

// SAFETY: the closure behind the pointer is `Sync`.
unsafe impl Send for Job {}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The job, if it is still there; the worker counts as busy from then on.
    fn join(&self) -> Option<Job> {
        let state = self.state();
        if state.job.is_some() {
            self.busy.fetch_add(1, Ordering::Relaxed);
        }
        state.job
    }

    /// Tasks until none is left.
    fn work(&self, tasks: usize, work: &Work<'_>, thread: usize) -> Result<(), Box<dyn Any + Send>> {
        catch_unwind(AssertUnwindSafe(|| {
            loop {
                let task = self.next.fetch_add(1, Ordering::Relaxed);
                if task >= tasks {
                    return;
                }
                work(task, thread);
            }
        }))
    }
}

/// Waits until `done`, first awake and then asleep on `condition`, before which it calls `before_sleep`.
fn wait(shared: &Shared, condition: &Condvar, done: impl Fn() -> bool, before_sleep: impl FnOnce()) {
    let start = Instant::now();
    loop {
        for _ in 0..64 {
            if done() {
                return;
            }
            std::hint::spin_loop();
        }
        if start.elapsed() > SPIN {
            break;
        }
    }
    before_sleep();
    let mut state = shared.state();
    while !done() {
        state = condition.wait(state).unwrap_or_else(PoisonError::into_inner);
    }
}

impl Threads {
    /// So many threads, or as many as this process may use: its CPU affinity and its control group's quota count.
    ///
    /// # Errors
    ///
    /// If the system gives no more threads.
    pub(super) fn new(threads: Option<NonZeroUsize>) -> std::io::Result<Self> {
        let threads =
            threads.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
        let affinities = (1..threads).map(|_| Affinity::default()).collect();
        let shared = Shared { affinities, ..Shared::default() };
        let mut pool = Self { shared: Arc::new(shared), workers: Vec::with_capacity(threads - 1) };
        for thread in 1..threads {
            let shared = Arc::clone(&pool.shared);
            let worker = std::thread::Builder::new()
                .name(format!("detector-{thread}"))
                .spawn(move || serve(&shared, thread))?;
            pool.workers.push(worker);
        }
        Ok(pool)
    }

    /// How many threads.
    pub(super) fn count(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `work` with each task in `0..tasks` and a thread's number in `0..count`, on all threads that wake before the
    /// tasks have gone; one call at a time (`&mut`). A task's panic goes on here, after the others' end.
    pub(super) fn run(&mut self, tasks: usize, work: &Work<'_>) {
        if self.workers.is_empty() || tasks < 2 {
            (0..tasks).for_each(|task| work(task, 0));
            return;
        }
        let shared = &*self.shared;
        // SAFETY: only the lifetime changes; a worker takes the pointer only while the job is there and counts itself as busy
        // then, and this function does not end before the job has gone and nobody is busy.
        let forever = unsafe { std::mem::transmute::<*const Work<'_>, *const Work<'static>>(work) };
        {
            let mut state = shared.state();
            state.job = Some(Job { tasks, work: forever });
            shared.next.store(0, Ordering::Relaxed);
            shared.job.fetch_add(1, Ordering::Release);
        }
        shared.affinities.iter().for_each(Affinity::avoid_caller);
        shared.begun.notify_all();
        let own = shared.work(tasks, work, 0);
        // Who has not begun by now is not waited for.
        shared.state().job = None;
        wait(shared, &shared.ended, || shared.busy.load(Ordering::Acquire) == 0, || ());
        let others = shared.state().panic.take();
        if let Some(panic) = own.err().or(others) {
            resume_unwind(panic);
        }
    }
}

/// A worker's life.
fn serve(shared: &Shared, thread: usize) {
    let affinity = &shared.affinities[thread - 1];
    let mut seen = 0;
    loop {
        let called = || shared.job.load(Ordering::Acquire) != seen || shared.stop.load(Ordering::Acquire);
        wait(shared, &shared.begun, called, || affinity.before_sleep());
        affinity.after_sleep();
        if shared.stop.load(Ordering::Acquire) {
            return;
        }
        seen = shared.job.load(Ordering::Acquire);
        let Some(Job { tasks, work }) = shared.join() else { continue };
        // SAFETY: `run` waits for this worker, which counts as busy, so the closure still lives.
        let outcome = shared.work(tasks, unsafe { &*work }, thread);
        if let Err(panic) = outcome {
            shared.state().panic.get_or_insert(panic);
        }
        if shared.busy.fetch_sub(1, Ordering::AcqRel) == 1 {
            // Under the lock, so that it does not fall between the caller's last look and its sleep.
            let _state = shared.state();
            shared.ended.notify_all();
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        {
            let _state = self.shared.state();
            self.shared.stop.store(true, Ordering::Release);
        }
        self.shared.begun.notify_all();
        for worker in self.workers.drain(..) {
            // A worker's panic has been told where its job ran.
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once_whatever_the_threads() {
        for threads in [1, 2, 3, 8] {
            let mut pool = Threads::new(NonZeroUsize::new(threads)).unwrap();
            for tasks in [0, 1, 2, 7, 1000] {
                let runs: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                pool.run(tasks, &|task, thread| {
                    assert!(thread < threads);
                    runs[task].fetch_add(1, Ordering::Relaxed);
                });
                assert!(runs.iter().all(|runs| runs.load(Ordering::Relaxed) == 1));
            }
        }
    }

    #[test]
    fn sleeping_threads_wake() {
        let mut pool = Threads::new(NonZeroUsize::new(4)).unwrap();
        for _ in 0..20 {
            std::thread::sleep(2 * SPIN);
            let sum = AtomicUsize::new(0);
            pool.run(100, &|task, _| {
                sum.fetch_add(task, Ordering::Relaxed);
            });
            assert_eq!(sum.into_inner(), 4950);
        }
    }

    #[test]
    fn jobs_too_short_to_wake_for_end_right() {
        let mut pool = Threads::new(NonZeroUsize::new(2)).unwrap();
        for _ in 0..1000 {
            // Too little to do for anybody to wake; nobody may come to it later.
            let sum = AtomicUsize::new(0);
            pool.run(2, &|task, _| {
                sum.fetch_add(task + 1, Ordering::Relaxed);
            });
            assert_eq!(sum.into_inner(), 3);
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_threads_go_on() {
        let mut pool = Threads::new(NonZeroUsize::new(3)).unwrap();
        for _ in 0..10 {
            let panic = catch_unwind(AssertUnwindSafe(|| {
                pool.run(50, &|task, _| assert!(task != 33, "task {task}"));
            }));
            assert_eq!(panic.unwrap_err().downcast_ref::<String>().unwrap(), "task 33");
            let runs = AtomicUsize::new(0);
            pool.run(50, &|_, _| {
                runs.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(runs.into_inner(), 50);
        }
    }
}
