// The server of examples/publish_subscribe.cpp, in Go.
// SPDX-License-Identifier: MIT
package main

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	behindMax = 1024
	batchMax  = 64 * 1024
)

type subscriber struct {
	lines  chan string
	missed int // since the last line that was sent
}

type room struct {
	mutex       sync.Mutex
	subscribers map[*subscriber]bool
}

func (r *room) send(line string) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	for one := range r.subscribers {
		for sent := false; !sent; {
			select {
			case one.lines <- line:
				sent = true
			default: // full: make room
				select {
				case <-one.lines:
					one.missed++
				default: // its goroutine has just taken one
				}
			}
		}
	}
}

func (r *room) takeMissed(one *subscriber) int {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	missed := one.missed
	one.missed = 0
	return missed
}

func (r *room) subscribe(in io.Reader, client net.Conn, stalledMax time.Duration) error {
	one := &subscriber{lines: make(chan string, behindMax)}
	r.mutex.Lock()
	r.subscribers[one] = true
	r.mutex.Unlock()
	defer func() {
		r.mutex.Lock()
		delete(r.subscribers, one)
		r.mutex.Unlock()
	}()
	gone := make(chan struct{})
	go func() {
		io.Copy(io.Discard, in)
		close(gone)
	}()
	for {
		select {
		case <-gone:
			return nil
		case line := <-one.lines:
			if missed := r.takeMissed(one); missed != 0 {
				line = fmt.Sprintf("(%d lines missed)\n", missed) + line
			}
			for more := true; more && len(line) < batchMax; {
				select {
				case next := <-one.lines:
					line += next
				default:
					more = false
				}
			}
			client.SetWriteDeadline(time.Now().Add(stalledMax))
			if _, err := io.WriteString(client, line); err != nil {
				return err
			}
		}
	}
}

func (r *room) publish(in *bufio.Reader) error {
	for {
		line, err := in.ReadString('\n')
		if line != "" {
			r.send(line)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (r *room) serve(client net.Conn, stalledMax time.Duration) {
	defer client.Close()
	in := bufio.NewReader(client)
	role, err := in.ReadString('\n')
	switch strings.TrimSpace(role) {
	case "PUBLISH":
		err = r.publish(in)
	case "SUBSCRIBE":
		err = r.subscribe(in, client, stalledMax)
	default:
		_, err = io.WriteString(client, "PUBLISH or SUBSCRIBE?\n")
	}
	if err != nil {
		log.Print(err)
	}
}

func main() {
	seconds, err := strconv.Atoi(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening on", listener.Addr())
	all := room{subscribers: map[*subscriber]bool{}}
	for {
		client, err := listener.Accept()
		if err != nil {
			log.Print(err)
			time.Sleep(100 * time.Millisecond)
			continue
		}
		go all.serve(client, time.Duration(seconds)*time.Second)
	}
}
