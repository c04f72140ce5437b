// The client of examples/pooled_client.cpp, in Go. (golang.org/x/time/rate has a better limiter.)
// SPDX-License-Identifier: MIT
package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

type connection struct {
	net.Conn
	in *bufio.Reader
}

type client struct {
	server    string
	limit     *time.Ticker
	places    chan struct{}
	idle      chan *connection
	connected atomic.Int64
	repeated  atomic.Int64
}

// A kept connection may be one that the server has closed, so a request that is repeated gets a new
// one.
func (c *client) take(repeated bool) (*connection, error) {
	if !repeated {
		select {
		case kept := <-c.idle:
			return kept, nil
		default:
		}
	}
	made, err := net.DialTimeout("tcp", c.server, 5*time.Second)
	if err != nil {
		return nil, err
	}
	c.connected.Add(1)
	return &connection{made, bufio.NewReader(made)}, nil
}

func (c *client) askOnce(request string, repeated bool) (string, error) {
	c.places <- struct{}{}
	defer func() { <-c.places }()
	<-c.limit.C
	used, err := c.take(repeated)
	if err != nil {
		return "", err
	}
	used.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(used, request); err != nil {
		used.Close()
		return "", err
	}
	answer, err := used.in.ReadString('\n')
	if err != nil {
		used.Close()
		return "", err
	}
	select {
	case c.idle <- used:
	default:
		used.Close()
	}
	return answer, nil
}

func (c *client) ask(request string) (answer string, err error) {
	for attempt := 0; attempt < 3; attempt++ {
		if attempt > 0 {
			c.repeated.Add(1)
			time.Sleep(20 * time.Millisecond << (attempt - 1))
		}
		if answer, err = c.askOnce(request, attempt > 0); err == nil {
			return answer, nil
		}
	}
	return "", err
}

func main() {
	var rate, connections, count int
	fmt.Sscan(os.Args[1], &rate)
	fmt.Sscan(os.Args[2], &connections)
	fmt.Sscan(os.Args[3], &count)
	one := client{
		server: os.Args[4],
		limit:  time.NewTicker(time.Second / time.Duration(rate)),
		places: make(chan struct{}, connections),
		idle:   make(chan *connection, connections),
	}
	var answered atomic.Int64
	var all sync.WaitGroup
	for i := 0; i < count; i++ {
		all.Add(1)
		go func(number int) {
			defer all.Done()
			if _, err := one.ask(fmt.Sprintf("GET %d\n", number)); err != nil {
				fmt.Printf("request %d: %v\n", number, err)
				return
			}
			answered.Add(1)
		}(i)
	}
	all.Wait()
	fmt.Printf("%d of %d requests answered, %d connections made, %d requests repeated\n",
		answered.Load(), count, one.connected.Load(), one.repeated.Load())
	if int(answered.Load()) != count {
		os.Exit(1)
	}
}
