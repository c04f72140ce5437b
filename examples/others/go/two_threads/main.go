// The program of examples/two_threads.cpp, in Go: two goroutines that talk over channels.
// SPDX-License-Identifier: MIT
package main

import (
	"bufio"
	"fmt"
	"log"
	"net"
	"os"
	"time"
)

type question struct {
	word   string
	answer chan<- int
}

func count(questions <-chan question) {
	counts := map[string]int{}
	for one := range questions {
		counts[one.word]++
		one.answer <- counts[one.word]
	}
}

func serve(client net.Conn, questions chan<- question) {
	defer client.Close()
	answer := make(chan int, 1)
	lines := bufio.NewScanner(client)
	for lines.Scan() {
		questions <- question{lines.Text(), answer}
		client.SetWriteDeadline(time.Now().Add(30 * time.Second))
		if _, err := fmt.Fprintf(client, "%s: %d\n", lines.Text(), <-answer); err != nil {
			return
		}
	}
	if err := lines.Err(); err != nil {
		log.Print(err)
	}
}

func main() {
	listener, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening on", listener.Addr())
	questions := make(chan question, 1024)
	go count(questions)
	for {
		client, err := listener.Accept()
		if err != nil {
			log.Print(err)
			time.Sleep(100 * time.Millisecond)
			continue
		}
		go serve(client, questions)
	}
}
