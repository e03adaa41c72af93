//! The source against cameras of several kinds.

#![expect(clippy::unwrap_used, reason = "what a test cannot do, it reports by panicking")]

use std::{
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use edge_daemon::source::{self, Deliver, Picture, RtspTransport, SourceSettings, load_elements};
use gst_rtsp_server::prelude::*;
use tokio_util::sync::CancellationToken;

/// Red pictures, live.
const RED: &str = "videotestsrc is-live=true pattern=red ! video/x-raw,width=160,height=128,framerate=25/1";

/// Serves `encoder` at `/camera` on a free port, to all viewers alike; the URL.
fn camera(encoder: &str) -> String {
    gst::init().unwrap();
    let launch = format!("( {RED} ! {encoder} )");
    let (port, bound) = mpsc::channel();
    std::thread::spawn(move || {
        let context = gst::glib::MainContext::new();
        let server = gst_rtsp_server::RTSPServer::new();
        server.set_address("127.0.0.1");
        server.set_service("0");
        let factory = gst_rtsp_server::RTSPMediaFactory::new();
        factory.set_launch(&launch);
        factory.set_shared(true);
        server.mount_points().unwrap().add_factory("/camera", factory);
        let _attached = server.attach(Some(&context)).unwrap();
        port.send(server.bound_port()).unwrap();
        gst::glib::MainLoop::new(Some(&context), false).run();
    });
    format!("rtsp://127.0.0.1:{}/camera", bound.recv_timeout(Duration::from_secs(10)).unwrap())
}

/// The first `count` pictures, within a minute; the camera may not be opened again meanwhile.
fn watch(url: &str, transport: RtspTransport, count: usize) -> Vec<Picture> {
    let settings = SourceSettings {
        location: url.parse().unwrap(),
        transport,
        rtsp_latency: Duration::from_millis(100),
        stall: Duration::from_secs(60),
        unpaced: false,
        repeat: false,
    };
    load_elements(&settings.location).unwrap();
    // The log says why a camera is lost.
    let _ = tracing_subscriber::fmt().with_test_writer().try_init();
    let stop = CancellationToken::new();
    let pictures = Arc::new(Mutex::new(Vec::new()));
    let deliver: Deliver = {
        let (pictures, stop) = (Arc::clone(&pictures), stop.clone());
        Arc::new(move |picture| {
            let mut pictures = pictures.lock().unwrap();
            pictures.push(picture);
            if pictures.len() >= count {
                stop.cancel();
            }
            pictures.len() < count
        })
    };
    source::run(&settings, &deliver, &stop, || panic!("the camera was opened again")).unwrap();
    std::mem::take(&mut *pictures.lock().unwrap())
}

fn assert_red(pictures: &[Picture]) {
    for (number, picture) in pictures.iter().enumerate() {
        assert_eq!(picture.image.dimensions(), (160, 128));
        let [red, green, blue] = picture.image.get_pixel(80, 64).0;
        assert!(red > 200 && green < 60 && blue < 60, "picture {number}: {red} {green} {blue}");
    }
}

#[test]
fn whoever_joins_between_key_frames_gets_no_grey_pictures() {
    let url = camera(
        "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=40 ! rtph264pay name=pay0 pt=96 config-interval=1",
    );
    // The first viewer starts the camera, the others come somewhere in its groups of pictures.
    std::thread::scope(|scope| {
        scope.spawn(|| assert_red(&watch(&url, RtspTransport::Tcp, 100)));
        for transport in [RtspTransport::Tcp, RtspTransport::Udp, RtspTransport::Auto] {
            std::thread::sleep(Duration::from_millis(700));
            assert_red(&watch(&url, transport, 5));
        }
    });
}

#[test]
fn a_camera_without_h264_is_read_too() {
    let url = camera("videoconvert ! video/x-raw,format=I420 ! jpegenc ! rtpjpegpay name=pay0 pt=26");
    assert_red(&watch(&url, RtspTransport::Tcp, 5));
}
