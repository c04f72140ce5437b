// The proxy of examples/proxy.cpp, in Go.
// SPDX-License-Identifier: MIT
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"time"
)

func copyAll(from, to *net.TCPConn, done chan<- error) {
	_, err := io.Copy(to, from)
	if err == nil {
		err = to.CloseWrite()
	}
	done <- err
}

func serve(client *net.TCPConn, target string) {
	defer client.Close()
	connected, err := net.DialTimeout("tcp", target, 5*time.Second)
	if err != nil {
		log.Print(err)
		client.SetLinger(0) // Close() resets
		return
	}
	server := connected.(*net.TCPConn)
	defer server.Close()
	done := make(chan error, 2)
	go copyAll(client, server, done)
	go copyAll(server, client, done)
	for i := 0; i < 2; i++ {
		if err := <-done; err != nil {
			client.SetLinger(0)
			server.SetLinger(0)
			return // closing both ends the other direction, too
		}
	}
}

func main() {
	listener, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening on", listener.Addr())
	for {
		client, err := listener.Accept()
		if err != nil {
			log.Print(err)
			time.Sleep(100 * time.Millisecond)
			continue
		}
		go serve(client.(*net.TCPConn), os.Args[2])
	}
}
