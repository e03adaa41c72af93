//! What counts as another model, and when.

#![expect(clippy::unwrap_used, reason = "what a test cannot do, it reports by panicking")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use model_source::{Candidate, Digest, Source, Updates};
use tokio::sync::Notify;
use tokio::time::timeout;

/// Longer than it takes to notice anything. Time is the test's own: it passes while all wait.
const LONG: Duration = Duration::from_secs(20);

async fn follow(location: &str, nudge: &Arc<Notify>) -> Updates {
    let source = Arc::new(Source::new(location.parse().unwrap()));
    let serving = source.fetch().await.unwrap().version;
    Updates::new(source, serving, Arc::clone(nudge))
}

async fn next(updates: &mut Updates) -> Option<Candidate> {
    timeout(LONG, updates.next()).await.ok()
}

fn content(candidate: &Candidate) -> String {
    fs::read_to_string(candidate.path()).unwrap()
}

fn rename_over(path: &Path, content: &str) {
    let new = path.with_extension("new");
    fs::write(&new, content).unwrap();
    fs::rename(&new, path).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_replaced_or_written_to() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.pb");
    fs::write(&path, "one").unwrap();
    let mut updates = follow(path.to_str().unwrap(), &Arc::default()).await;
    assert!(next(&mut updates).await.is_none(), "nothing has changed");
    rename_over(&path, "two");
    let candidate = next(&mut updates).await.unwrap();
    assert_eq!((content(&candidate).as_str(), candidate.path().file_name()), ("two", path.file_name()));
    updates.taken();
    // It is a copy: nobody pulls the file away from under whoever loads it.
    fs::write(&path, "three").unwrap();
    assert_eq!(content(&candidate), "two");
    assert!(candidate.explain(&candidate.path().display()).starts_with(path.to_str().unwrap()));
    let copy = candidate.path().to_owned();
    drop(candidate);
    assert!(!copy.exists());
    // Refused: it does not come again, the next one does.
    assert_eq!(content(&next(&mut updates).await.unwrap()), "three");
    assert!(next(&mut updates).await.is_none());
    fs::write(&path, "fourth").unwrap();
    assert_eq!(content(&next(&mut updates).await.unwrap()), "fourth");
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_still_being_written_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.pb");
    fs::write(&path, "one").unwrap();
    let mut updates = follow(path.to_str().unwrap(), &Arc::default()).await;
    let writer = tokio::spawn({
        let path = path.clone();
        async move {
            for length in 1..=30 {
                fs::write(&path, "x".repeat(length)).unwrap();
                tokio::time::sleep(Duration::from_millis(400)).await;
            }
        }
    });
    assert_eq!(content(&next(&mut updates).await.unwrap()).len(), 30);
    writer.await.unwrap();
}

/// Kubernetes turns a link beside the file, not the file; and it may be gone for a while.
#[tokio::test(start_paused = true)]
async fn links_that_are_turned_and_files_that_come_back() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    for version in ["v1", "v2"] {
        fs::create_dir(at(version)).unwrap();
        fs::write(at(version).join("a.pb"), version).unwrap();
    }
    symlink("v1", at("data")).unwrap();
    symlink("data/a.pb", at("a.pb")).unwrap();
    let mut updates = follow(at("a.pb").to_str().unwrap(), &Arc::default()).await;
    symlink("v2", at("data.new")).unwrap();
    fs::rename(at("data.new"), at("data")).unwrap();
    assert_eq!(content(&next(&mut updates).await.unwrap()), "v2");
    updates.taken();
    fs::remove_file(at("data")).unwrap();
    assert!(next(&mut updates).await.is_none());
    symlink("v1", at("data")).unwrap();
    assert_eq!(content(&next(&mut updates).await.unwrap()), "v1");
}

#[tokio::test(start_paused = true)]
async fn a_nudge_brings_what_was_refused_once_more() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.pb");
    fs::write(&path, "one").unwrap();
    let nudge = Arc::default();
    let mut updates = follow(path.to_str().unwrap(), &nudge).await;
    nudge.notify_one();
    assert!(next(&mut updates).await.is_none(), "nothing has changed");
    rename_over(&path, "two");
    next(&mut updates).await.unwrap();
    assert!(next(&mut updates).await.is_none());
    nudge.notify_one();
    next(&mut updates).await.unwrap();
    updates.taken();
    nudge.notify_one();
    assert!(next(&mut updates).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_pinned_file_stays_the_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.pb");
    fs::write(&path, "one").unwrap();
    let location = format!("{}#sha256={}", path.display(), Digest::of(b"one"));
    let mut updates = follow(&location, &Arc::default()).await;
    rename_over(&path, "two");
    assert!(next(&mut updates).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn files_that_belong_together_are_taken_together() {
    let directory = tempfile::tempdir().unwrap();
    let (weights, form) = (directory.path().join("a.weights"), directory.path().join("a.cfg"));
    fs::write(&weights, "one").unwrap();
    fs::write(&form, "form").unwrap();
    let mut updates = follow(weights.to_str().unwrap(), &Arc::default()).await;
    rename_over(&form, "another");
    let candidate = next(&mut updates).await.unwrap();
    assert_eq!(content(&candidate), "one");
    assert_eq!(fs::read_to_string(candidate.path().with_extension("cfg")).unwrap(), "another");
}
