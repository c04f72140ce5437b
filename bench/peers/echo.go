// The echo server of scale.py in Go, as its users write it: a goroutine for each connection, with a
// buffer of 16 KiB. net sets TCP_NODELAY.
//
//	$ echo_go --port 0 --threads 2
//	listening on 127.0.0.1:45123
// SPDX-License-Identifier: MIT
package main

import (
	"flag"
	"fmt"
	"log"
	"net"
	"runtime"
	"strconv"
	"time"
)

func echo(peer net.Conn) {
	defer peer.Close()
	buffer := make([]byte, 16*1024)
	for {
		count, err := peer.Read(buffer)
		if err != nil {
			return
		}
		if _, err := peer.Write(buffer[:count]); err != nil {
			return
		}
	}
}

func main() {
	host := flag.String("host", "127.0.0.1", "address to listen on")
	port := flag.Int("port", 9090, "port to listen on, 0 for any free one")
	threads := flag.Int("threads", 1, "threads that run Go code at the same time")
	flag.Parse()
	runtime.GOMAXPROCS(*threads)
	listener, err := net.Listen("tcp", net.JoinHostPort(*host, strconv.Itoa(*port)))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening on", listener.Addr())
	for {
		peer, err := listener.Accept()
		if err != nil {
			log.Print(err)
			time.Sleep(100 * time.Millisecond)
			continue
		}
		go echo(peer)
	}
}
