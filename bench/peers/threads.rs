//! The rows of scale.py between two threads in Rust with tokio.
//!
//!     $ threads_tokio --rounds 3 --only "sleeping thread woken, and back"
//!     sleeping thread woken, and back       45210.3    44012.9
//!
//! Like in micro_threads.cpp: nanoseconds per operation, the median and the least of the rounds.
// SPDX-License-Identifier: MIT

use std::sync::Arc;
use std::time::Instant;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, Notify};

fn runtime_of_one_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

// Two runtimes of one thread each, which sleep in their I/O drivers as servers do. On the
// multi-thread runtime one worker would run both tasks, and none would sleep.
fn wake_ups(count: usize) {
    let there = Arc::new(Notify::new());
    let back = Arc::new(Notify::new());
    let other = std::thread::spawn({
        let (there, back) = (there.clone(), back.clone());
        move || {
            runtime_of_one_thread().block_on(async move {
                for _ in 0..count {
                    there.notified().await;
                    back.notify_one();
                }
            })
        }
    });
    runtime_of_one_thread().block_on(async move {
        for _ in 0..count {
            there.notify_one();
            back.notified().await;
        }
    });
    other.join().unwrap();
}

// The multi-thread runtime with two workers.
fn items(count: usize) {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (to, mut from) = mpsc::channel(1024);
    let producer = runtime.spawn(async move {
        for i in 0..count {
            to.send(i).await.unwrap();
        }
    });
    let consumer = runtime.spawn(async move {
        let mut sum = 0;
        while let Some(next) = from.recv().await {
            sum += next;
        }
        sum
    });
    runtime.block_on(async {
        producer.await.unwrap();
        assert_eq!(consumer.await.unwrap(), count * (count - 1) / 2);
    });
}

fn main() {
    let mut rounds = 7;
    let mut only = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(option) = arguments.next() {
        let value = arguments.next().expect("an option without a value");
        match option.as_str() {
            "--rounds" => rounds = value.parse().expect("--rounds takes a number"),
            "--only" => only = Some(value),
            _ => panic!("the options are --rounds and --only"),
        }
    }
    let rows: [(&str, usize, fn(usize)); 2] = [
        ("sleeping thread woken, and back", 5_000, wake_ups),
        ("queue between threads, item", 1_000_000, items),
    ];
    for (name, count, work) in rows {
        if only.as_ref().map_or(false, |only| only != name) {
            continue;
        }
        work(count / 10 + 1);
        let mut each: Vec<f64> = (0..rounds)
            .map(|_| {
                let begin = Instant::now();
                work(count);
                begin.elapsed().as_nanos() as f64 / count as f64
            })
            .collect();
        each.sort_by(f64::total_cmp);
        println!("{:<34} {:>10.1} {:>10.1}", name, each[each.len() / 2], each[0]);
    }
}
