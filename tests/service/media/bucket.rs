//! Copies in a bucket, at a fake of S3.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;
use sqlx::PgPool;

use super::super::binary::run;
use super::super::harness::{KEY_OF_ALL, ORGANIZATION};
use super::super::spool::wait_until;
use super::fake_s3::{FakeS3, Fault, SECRET};
use super::{
    Files, PNG, file, file_with, message, problem, send, start, wait_for_problem, with_media,
};

fn with_bucket(db: &PgPool, bucket: &FakeS3) -> BTreeMap<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = with_media(db, &folder, true);
    settings.remove("RECEIVER__MEDIA__FOLDER");
    settings.extend(bucket.settings());
    settings
}

async fn try_again(db: &PgPool) {
    let sql = "update media set next_attempt_at = now() where state in ('waiting', 'deleted')";
    sqlx::query(sql).execute(db).await.unwrap();
}

async fn number(db: &PgPool, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(db).await.unwrap()
}

#[sqlx::test(migrations = false)]
async fn copy_in_a_bucket_is_served_with_ranges_and_removed_with_its_message(db: PgPool) {
    let (files, bucket) = (Files::start().await, FakeS3::start().await);
    let settings = with_bucket(&db, &bucket);
    let service = start(&db, settings.clone()).await;
    send(&service, message("m1", "6281200010001", &files.url("/image.png"))).await;
    wait_until(async || file(&service, "m1").await.status() == StatusCode::OK).await;
    let response = file(&service, "m1").await;
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "image/png");
    assert_eq!(header("content-length"), PNG.len().to_string());
    let tag = header("etag");
    let sha256 = tag.trim_matches('"').to_owned();
    assert_eq!(response.bytes().await.unwrap(), PNG);
    assert_eq!(bucket.copies(), [format!("{}/{sha256}", &sha256[..2])]);

    let end = PNG.len() - 1;
    for (range, expected) in
        [("bytes=1-3", 1..=3), ("bytes=9-", 9..=end), ("bytes=-5", end - 4..=end)]
    {
        let response = file_with(&service, "m1", KEY_OF_ALL, &[("range", range)]).await;
        assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT, "{range}");
        let about = format!("bytes {}-{}/{}", expected.start(), expected.end(), PNG.len());
        assert_eq!(response.headers()["content-range"], about.as_str());
        assert_eq!(response.bytes().await.unwrap(), PNG[expected]);
    }
    // These need nothing of the bucket.
    let requests = bucket.content().requests.len();
    let response = file_with(&service, "m1", KEY_OF_ALL, &[("range", "bytes=999-")]).await;
    assert_eq!(response.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    let response = file_with(&service, "m1", KEY_OF_ALL, &[("if-none-match", &tag)]).await;
    assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(bucket.content().requests.len(), requests);

    // A second message with the same file keeps it.
    send(&service, message("m2", "6281200010002", &files.url("/unnamed"))).await;
    wait_until(async || file(&service, "m2").await.status() == StatusCode::OK).await;
    let output = run(&settings, &["erase", "--phone", "6281200010001"]).await;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(file(&service, "m2").await.bytes().await.unwrap(), PNG);
    let output = run(&settings, &["erase", "--organization", ORGANIZATION]).await;
    assert!(output.status.success(), "{output:?}");
    wait_until(async || bucket.copies().is_empty()).await;
    service.signal("TERM");
    let log = service.wait_for_exit().await.1;
    assert!(log.iter().all(|line| !line.contains(SECRET) && !line.contains("AWS4")), "{log:#?}");
}

#[sqlx::test(migrations = false)]
async fn unavailable_bucket_is_told_and_files_wait_for_it(db: PgPool) {
    let (files, bucket) = (Files::start().await, FakeS3::start().await);
    bucket.content().fault = Fault::Error(503, "SlowDown");
    let settings = with_bucket(&db, &bucket);
    let service = start(&db, settings).await;
    for i in 0..40 {
        let id = format!("m{i}");
        send(&service, message(&id, &id, &files.url(&format!("/many/{i}")))).await;
    }
    let waiting = "select count(*) from media where state = 'waiting' and attempts = 0";
    wait_until(async || number(&db, waiting).await == 40).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(problem(&service, "m1").await, "the file is not copied yet, retry later");
    // Nothing was fetched in vain.
    assert_eq!(files.hits(), 0);
    bucket.content().fault = Fault::None;
    for i in 0..40 {
        wait_until(async || file(&service, &format!("m{i}")).await.status() == StatusCode::OK)
            .await;
    }
    assert_eq!((files.hits(), bucket.copies().len()), (40, 1));

    // It becomes unavailable while files are copied, which is no attempt.
    bucket.content().fault = Fault::Error(503, "SlowDown");
    let response = file(&service, "m1").await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(response.headers().contains_key("retry-after"));
    send(&service, message("late", "late", &files.url("/image.png"))).await;
    // Readers are not told the address of the bucket.
    let reason = "the file is not copied yet, retry later: the copy cannot be written";
    wait_for_problem(&service, "late", reason).await;
    assert_eq!(
        number(&db, "select max(attempts)::bigint from media where state = 'waiting'").await,
        0
    );
    bucket.content().fault = Fault::None;
    try_again(&db).await;
    wait_until(async || file(&service, "late").await.status() == StatusCode::OK).await;

    // Somebody has emptied it.
    bucket.content().objects.clear();
    let gone = "the copy of the file is gone from media.folder or media.bucket";
    assert_eq!(problem(&service, "m1").await, gone);
    service.signal("TERM");
    let log = service.wait_for_exit().await.1;
    let told = "media folder or bucket unusable, files are not copied";
    let lines: Vec<Value> = log.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().any(|it| it["message"] == told && it["level"] == "ERROR"), "{lines:#?}");
}

#[sqlx::test(migrations = false)]
async fn file_that_a_working_bucket_refuses_is_given_up(db: PgPool) {
    let (files, bucket) = (Files::start().await, FakeS3::start().await);
    bucket.content().fault = Fault::ErrorOfCopies(400, "EntityTooLarge");
    let service = start(&db, with_bucket(&db, &bucket)).await;
    send(&service, message("m1", "1", &files.url("/image.png"))).await;
    let attempts = "select max(attempts)::bigint from media where error is not null";
    wait_until(async || problem(&service, "m1").await.contains("cannot be written")).await;
    assert_eq!(number(&db, attempts).await, 1);
    sqlx::query("update media set attempts = 5, next_attempt_at = now()")
        .execute(&db)
        .await
        .unwrap();
    let reason = "the file could not be copied: the copy cannot be written";
    wait_for_problem(&service, "m1", reason).await;
    service.signal("TERM");
    let log = service.wait_for_exit().await.1.join("\n");
    assert!(!log.contains("media folder or bucket unusable"), "{log}");
    assert!(log.contains("copy of a file not written") && log.contains("EntityTooLarge"), "{log}");
}

#[sqlx::test(migrations = false)]
async fn tests_of_a_bucket_leave_nothing_behind(db: PgPool) {
    let bucket = FakeS3::start().await;
    bucket.content().fault = Fault::Forbidden("GET");
    let service = start(&db, with_bucket(&db, &bucket)).await;
    wait_until(async || bucket.content().tests.len() >= 2).await;
    wait_until(async || bucket.copies().is_empty()).await;
    service.signal("TERM");
    service.wait_for_exit().await;
    bucket.content().objects.clear();

    // What may not be removed is one object, not one per test.
    bucket.content().tests.clear();
    bucket.content().fault = Fault::Forbidden("DELETE");
    let _service = start(&db, with_bucket(&db, &bucket)).await;
    wait_until(async || bucket.content().tests.len() >= 3).await;
    assert_eq!(bucket.copies().len(), 1);
}

#[sqlx::test(migrations = false)]
async fn copy_that_cannot_be_removed_holds_back_nothing(db: PgPool) {
    let (files, bucket) = (Files::start().await, FakeS3::start().await);
    let settings = with_bucket(&db, &bucket);
    let service = start(&db, settings.clone()).await;
    send(&service, message("m1", "6281200010001", &files.url("/image.png"))).await;
    wait_until(async || file(&service, "m1").await.status() == StatusCode::OK).await;
    bucket.content().fault = Fault::Forbidden("DELETE");
    let output = run(&settings, &["erase", "--phone", "6281200010001"]).await;
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.contains("media: not removed, the service will"), "{printed}");
    try_again(&db).await;
    wait_until(async || bucket.content().requests.iter().filter(|it| *it == "DELETE").count() >= 2)
        .await;
    send(&service, message("m2", "2", &files.url("/changing/0"))).await;
    wait_until(async || file(&service, "m2").await.status() == StatusCode::OK).await;
    assert_eq!(bucket.copies().len(), 2);
    bucket.content().fault = Fault::None;
    try_again(&db).await;
    wait_until(async || bucket.copies().len() == 1).await;
    assert_eq!(file(&service, "m2").await.status(), StatusCode::OK);
}

#[sqlx::test(migrations = false)]
async fn copy_is_removed_when_the_next_attempt_fetches_other_bytes(db: PgPool) {
    let (files, bucket) = (Files::start().await, FakeS3::start().await);
    bucket.content().fault = Fault::LostAnswer;
    let settings = with_bucket(&db, &bucket);
    let service = start(&db, settings.clone()).await;
    send(&service, message("m1", "6281200010001", &files.url("/changing/1"))).await;
    wait_until(async || problem(&service, "m1").await.contains("cannot be written")).await;
    let first = bucket.copies();
    assert_eq!(first.len(), 1);
    bucket.content().fault = Fault::None;
    // The pause would be ten seconds.
    try_again(&db).await;
    wait_until(async || file(&service, "m1").await.status() == StatusCode::OK).await;
    assert_eq!(bucket.copies().len(), 1);
    assert_ne!(bucket.copies(), first);
    let output = run(&settings, &["erase", "--phone", "6281200010001"]).await;
    assert!(output.status.success(), "{output:?}");
    wait_until(async || bucket.copies().is_empty()).await;
}

#[sqlx::test(migrations = false)]
async fn shared_copy_stays_when_the_next_attempt_fetches_other_bytes(db: PgPool) {
    let (files, bucket) = (Files::start().await, FakeS3::start().await);
    let service = start(&db, with_bucket(&db, &bucket)).await;
    send(&service, message("m1", "1", &files.url("/image.png"))).await;
    wait_until(async || file(&service, "m1").await.status() == StatusCode::OK).await;
    bucket.content().fault = Fault::LostAnswer;
    send(&service, message("m2", "2", &files.url("/changing/2"))).await;
    wait_until(async || problem(&service, "m2").await.contains("cannot be written")).await;
    assert_eq!(bucket.copies().len(), 1);
    bucket.content().fault = Fault::None;
    try_again(&db).await;
    wait_until(async || file(&service, "m2").await.status() == StatusCode::OK).await;
    assert_eq!(bucket.copies().len(), 2);
    assert_eq!(file(&service, "m1").await.bytes().await.unwrap(), PNG);
}

#[sqlx::test(migrations = false)]
async fn copy_whose_upload_was_not_confirmed_is_removed_with_its_message(db: PgPool) {
    let (files, bucket) = (Files::start().await, FakeS3::start().await);
    bucket.content().fault = Fault::LostAnswer;
    let settings = with_bucket(&db, &bucket);
    let service = start(&db, settings.clone()).await;
    send(&service, message("m1", "6281200010001", &files.url("/image.png"))).await;
    wait_until(async || problem(&service, "m1").await.contains("cannot be written")).await;
    assert_eq!(bucket.copies().len(), 1);
    bucket.content().fault = Fault::None;
    let output = run(&settings, &["erase", "--phone", "6281200010001"]).await;
    assert!(output.status.success(), "{output:?}");
    // It may be removed once its next attempt is due.
    try_again(&db).await;
    wait_until(async || bucket.copies().is_empty()).await;
    assert_eq!(number(&db, "select count(*) from media").await, 0);
}

#[sqlx::test(migrations = false)]
async fn slow_upload_holds_back_nothing_and_survives_an_erasure(db: PgPool) {
    let (files, bucket) = (Files::start().await, FakeS3::start().await);
    let settings = with_bucket(&db, &bucket);
    let service = start(&db, settings.clone()).await;
    bucket.content().fault = Fault::Hold;
    send(&service, message("m1", "6281200010001", &files.url("/image.png"))).await;
    wait_until(async || bucket.content().requests == ["PUT"]).await;
    // No transaction that the stream could not pass.
    let writing = "select count(*) from pg_stat_activity
        where datname = current_database() and backend_xid is not null";
    wait_until(async || number(&db, writing).await == 0).await;
    // The row stays until the copy is written, so that it is removed as well.
    let output = run(&settings, &["erase", "--phone", "6281200010001"]).await;
    assert!(output.status.success(), "{output:?}");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(number(&db, "select count(*) from media where state = 'deleted'").await, 1);
    bucket.content().fault = Fault::None;
    wait_until(async || bucket.content().requests == ["PUT", "DELETE"]).await;
    wait_until(async || number(&db, "select count(*) from media").await == 0).await;
    assert!(bucket.copies().is_empty());
}

#[sqlx::test(migrations = false)]
async fn large_files_are_copied_and_served_in_little_memory(db: PgPool) {
    const BYTES: usize = 64 << 20;
    let (files, bucket) = (Files::start().await, FakeS3::start().await);
    let mut settings = with_bucket(&db, &bucket);
    settings.insert("RECEIVER__MEDIA__MAX_BYTES".into(), BYTES.to_string());
    let service = start(&db, settings).await;
    let before = service.peak_resident_mib();
    for i in 1..=4 {
        send(
            &service,
            message(&format!("m{i}"), &format!("{i}"), &files.url(&format!("/large/{i}"))),
        )
        .await;
    }
    for i in 1..=4 {
        let id = format!("m{i}");
        wait_until(async || file(&service, &id).await.status() == StatusCode::OK).await;
        assert_eq!(file(&service, &id).await.bytes().await.unwrap().len(), BYTES);
    }
    assert_eq!(bucket.copies().len(), 4);
    let grown = service.peak_resident_mib() - before;
    assert!(grown < 40, "{grown} MiB");
}

#[sqlx::test(migrations = false)]
async fn check_tells_what_is_wrong_with_a_bucket(db: PgPool) {
    let bucket = FakeS3::start().await;
    let settings = with_bucket(&db, &bucket);
    assert!(run(&settings, &["migrate"]).await.status.success());
    let media = async |settings: &BTreeMap<String, String>| {
        let output = run(settings, &["check", "--json"]).await;
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(!report.to_string().contains(SECRET), "{report}");
        let mut checks = report["checks"].as_array().unwrap().iter();
        let media = checks.find(|check| check["name"] == "media").unwrap();
        format!("{}: {}", media["state"].as_str().unwrap(), media["text"].as_str().unwrap())
    };
    assert_eq!(
        media(&settings).await,
        "ok: an object can be written to the bucket, read and deleted"
    );
    // Nothing is left of the test.
    assert!(bucket.copies().is_empty());
    let host = bucket.url.trim_start_matches("http://");
    for (fault, expected) in [
        (
            Fault::Error(404, "NoSuchBucket"),
            "has no such bucket; check media.bucket and media.path_style",
        ),
        (
            Fault::Error(403, "InvalidAccessKeyId"),
            "does not know the key; check media.access_key_id",
        ),
        (
            Fault::Error(403, "SignatureDoesNotMatch"),
            "rejected the signature; check media.secret_access_key",
        ),
        (
            Fault::Error(403, "RequestTimeTooSkewed"),
            "rejected the signature: the clock of this machine is wrong; synchronise it",
        ),
        (
            Fault::Error(403, "AccessDenied"),
            "forbids PUT; the key needs s3:GetObject, PutObject and DeleteObject",
        ),
        (
            Fault::Error(301, "PermanentRedirect"),
            "has the bucket in another region; check media.region and media.endpoint",
        ),
    ] {
        bucket.content().fault = fault;
        assert_eq!(media(&settings).await, format!("warn: {host} {expected}"));
    }
    let mut nowhere = settings.clone();
    nowhere.insert("RECEIVER__MEDIA__ENDPOINT".into(), "http://127.0.0.1:1".into());
    let expected = "warn: cannot connect to 127.0.0.1:1; check media.endpoint, its certificate, DNS and the \
                    firewall";
    assert_eq!(media(&nowhere).await, expected);
    let mut no_disk = settings;
    no_disk.insert("TMPDIR".into(), "/nowhere".into());
    assert!(media(&no_disk).await.starts_with("warn: no temporary file: "));
}
