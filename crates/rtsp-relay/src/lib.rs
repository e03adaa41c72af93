//! A small RTSP server: plays a video file in a loop as if it were a camera.
