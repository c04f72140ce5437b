//! The rows of micro_peers.py in Rust with tokio, on its current_thread runtime: one thread, no
//! timer and no I/O driver. Each workload is a spawned task, because the future that block_on()
//! polls is slower to yield. tokio's types work across threads all the same; ringlet's objects
//! belong to one scheduler.
//!
//!     $ micro_tokio --rounds 3 --only "yield"
//!     yield                                   110.2      109.7
//!
//! Like in micro.cpp: nanoseconds per operation, the median and the least of the rounds. There is
//! no row for a condition, which tokio does not have.
// SPDX-License-Identifier: MIT

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{mpsc, Mutex, Notify, Semaphore};
use tokio::task::yield_now;

async fn spawn_and_join(count: usize) {
    for _ in 0..count {
        tokio::spawn(async {}).await.unwrap();
    }
}

async fn yields(count: usize) {
    for _ in 0..count {
        yield_now().await;
    }
}

async fn locks(count: usize) {
    let lock = Mutex::new(());
    for _ in 0..count {
        let _held = lock.lock().await;
    }
}

async fn lock_in_turn(lock: Arc<Mutex<()>>, count: usize) {
    for _ in 0..count {
        let _held = lock.lock().await;
        yield_now().await;
    }
}

// A tokio::sync::Mutex is handed over first come, first served, like ringlet's.
async fn locks_handed_over(count: usize) {
    let lock = Arc::new(Mutex::new(()));
    let one = tokio::spawn(lock_in_turn(lock.clone(), count / 2));
    let other = tokio::spawn(lock_in_turn(lock, count / 2));
    one.await.unwrap();
    other.await.unwrap();
}

async fn permits(count: usize) {
    let two = Semaphore::new(2);
    for _ in 0..count {
        let _one = two.acquire().await.unwrap();
    }
}

async fn push(to: mpsc::Sender<usize>, count: usize) {
    for i in 0..count {
        to.send(i).await.unwrap();
    }
}

fn sum_below(count: usize) -> usize {
    count * (count - 1) / 2
}

// tokio has one type for ringlet's queue and channel.
async fn queue_of_one(count: usize) {
    let (to, mut from) = mpsc::channel(1);
    let one = tokio::spawn(push(to, count));
    let other = tokio::spawn(async move {
        let mut sum = 0;
        for _ in 0..count {
            sum += from.recv().await.unwrap();
        }
        sum
    });
    one.await.unwrap();
    assert_eq!(other.await.unwrap(), sum_below(count));
}

async fn channel_of_one(count: usize) {
    let (to, mut from) = mpsc::channel(1);
    let one = tokio::spawn(push(to, count));
    let other = tokio::spawn(async move {
        let mut sum = 0;
        while let Some(next) = from.recv().await {
            sum += next;
        }
        sum
    });
    one.await.unwrap();
    assert_eq!(other.await.unwrap(), sum_below(count));
}

async fn selects(count: usize) {
    let (to_one, mut one) = mpsc::channel(1);
    let (to_other, mut other) = mpsc::channel(1);
    let reader = tokio::spawn(async move {
        let mut sum = 0;
        for _ in 0..count {
            tokio::select! {
                Some(next) = one.recv() => sum += next,
                Some(next) = other.recv() => sum += next,
                else => unreachable!(),
            }
        }
        sum
    });
    let first = tokio::spawn(push(to_one, count / 2));
    let second = tokio::spawn(push(to_other, count - count / 2));
    assert_eq!(reader.await.unwrap(), sum_below(count / 2) + sum_below(count - count / 2));
    first.await.unwrap();
    second.await.unwrap();
}

// The cheapest event of tokio: a flag, and a Notify for those who wait.
#[derive(Default)]
struct Event {
    is_set: AtomicBool,
    begun: AtomicUsize,
    notify: Notify,
}

async fn wait_for(on: Arc<Event>) {
    let notified = on.notify.notified();
    on.begun.fetch_add(1, Ordering::Relaxed);
    if !on.is_set.load(Ordering::Acquire) {
        notified.await;
    }
}

async fn spawn_each(count: usize) {
    let on = Arc::new(Event::default());
    on.is_set.store(true, Ordering::Release);
    let all: Vec<_> = (0..count).map(|_| tokio::spawn(wait_for(on.clone()))).collect();
    for one in all {
        one.await.unwrap();
    }
}

async fn wake_each(count: usize) {
    let on = Arc::new(Event::default());
    let all: Vec<_> = (0..count).map(|_| tokio::spawn(wait_for(on.clone()))).collect();
    while on.begun.load(Ordering::Relaxed) != count {
        yield_now().await;
    }
    on.is_set.store(true, Ordering::Release);
    on.notify.notify_waiters();
    for one in all {
        one.await.unwrap();
    }
}

type Workload = fn(usize) -> Pin<Box<dyn Future<Output = ()> + Send>>;

macro_rules! row {
    ($name:expr, $count:expr, $work:ident) => {
        ($name, $count, (|count| Box::pin($work(count))) as Workload)
    };
}

fn main() {
    let mut rounds = 11;
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
    let rows = [
        row!("spawn + join", 200_000, spawn_and_join),
        row!("yield", 1_000_000, yields),
        row!("mutex, lock and unlock", 2_000_000, locks),
        row!("mutex, handed over (with a yield)", 300_000, locks_handed_over),
        row!("semaphore, acquire and release", 2_000_000, permits),
        row!("queue of 1, item handed over", 300_000, queue_of_one),
        row!("channel of 1, item handed over", 300_000, channel_of_one),
        row!("select of two queues", 200_000, selects),
        row!("100,000 fibers that need not wait", 100_000, spawn_each),
        row!("100,000 fibers that one event wakes", 100_000, wake_each),
    ];
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let run = |work: Workload, count| {
        runtime.block_on(async { tokio::spawn(work(count)).await.unwrap() });
    };
    for (name, count, work) in rows {
        if only.as_ref().map_or(false, |only| only != name) {
            continue;
        }
        run(work, count / 10 + 1);
        let mut each: Vec<f64> = (0..rounds)
            .map(|_| {
                let begin = Instant::now();
                run(work, count);
                begin.elapsed().as_nanos() as f64 / count as f64
            })
            .collect();
        each.sort_by(f64::total_cmp);
        println!("{:<34} {:>10.1} {:>10.1}", name, each[each.len() / 2], each[0]);
    }
}
