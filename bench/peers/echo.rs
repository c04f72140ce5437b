//! The echo server of scale.py in Rust with tokio, as its users write it: on the multi-thread
//! runtime, a task for each connection, with a buffer of 16 KiB.
//!
//!     $ echo_tokio --port 0 --threads 2
//!     listening on 127.0.0.1:45123
// SPDX-License-Identifier: MIT

use std::io::Result;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

async fn echo(mut peer: TcpStream) -> Result<()> {
    peer.set_nodelay(true)?;
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let count = peer.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        peer.write_all(&buffer[..count]).await?;
    }
}

async fn serve(host: String, port: u16) -> Result<()> {
    let listener = TcpListener::bind((host.as_str(), port)).await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        match listener.accept().await {
            Ok((peer, _)) => {
                tokio::spawn(echo(peer));
            }
            Err(error) => {
                eprintln!("{error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn main() -> Result<()> {
    let (mut host, mut port, mut threads) = (String::from("127.0.0.1"), 9090, 1);
    let mut arguments = std::env::args().skip(1);
    while let Some(option) = arguments.next() {
        let value = arguments.next().expect("an option without a value");
        match option.as_str() {
            "--host" => host = value,
            "--port" => port = value.parse().expect("--port takes a number"),
            "--threads" => threads = value.parse().expect("--threads takes a number"),
            _ => panic!("the options are --host, --port and --threads"),
        }
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()?;
    // A worker accepts, too: the future that block_on() polls has a thread of its own.
    runtime.block_on(async { tokio::spawn(serve(host, port)).await.unwrap() })
}
