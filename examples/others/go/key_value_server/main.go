// The key-value server of examples/key_value_server.cpp, in Go.
// SPDX-License-Identifier: MIT
package main

import (
	"bufio"
	"errors"
	"fmt"
	"log"
	"net"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	lineMax  = 4096
	idleMax  = 5 * time.Minute
	writeMax = 30 * time.Second
)

type store struct {
	mutex  sync.RWMutex
	values map[string]string
}

func (s *store) answer(line string) string {
	verb, rest, _ := strings.Cut(line, " ")
	key, value, _ := strings.Cut(rest, " ")
	switch {
	case verb == "SET" && key != "":
		s.mutex.Lock()
		defer s.mutex.Unlock()
		s.values[key] = value
		return "OK"
	case verb == "GET" && key != "" && value == "":
		s.mutex.RLock()
		defer s.mutex.RUnlock()
		if found, ok := s.values[key]; ok {
			return "VALUE " + found
		}
		return "NONE"
	case verb == "DEL" && key != "" && value == "":
		s.mutex.Lock()
		defer s.mutex.Unlock()
		if _, ok := s.values[key]; !ok {
			return "NONE"
		}
		delete(s.values, key)
		return "OK"
	}
	return "ERROR unknown command"
}

func (s *store) serve(client net.Conn) {
	defer client.Close()
	lines := bufio.NewScanner(client)
	lines.Buffer(make([]byte, 0, 512), lineMax)
	for {
		client.SetReadDeadline(time.Now().Add(idleMax))
		if !lines.Scan() {
			break
		}
		client.SetWriteDeadline(time.Now().Add(writeMax))
		if _, err := fmt.Fprintln(client, s.answer(lines.Text())); err != nil {
			return
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		fmt.Fprintln(client, "ERROR line too long")
	}
}

func main() {
	listener, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening on", listener.Addr())
	values := store{values: map[string]string{}}
	for {
		client, err := listener.Accept()
		if err != nil { // often a shortage of descriptors
			log.Print(err)
			time.Sleep(100 * time.Millisecond)
			continue
		}
		go values.serve(client)
	}
}
