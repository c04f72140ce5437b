// The periodic job of examples/health_check.cpp, in Go.
// SPDX-License-Identifier: MIT
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"
)

func isUp(server string) bool {
	connection, err := net.DialTimeout("tcp", server, time.Second)
	if err != nil {
		return false
	}
	connection.Close()
	return true
}

func checkAll(servers []string, workers int) []bool {
	answers := make([]bool, len(servers))
	places := make(chan int)
	var all sync.WaitGroup
	for i := 0; i < workers; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			for place := range places {
				answers[place] = isUp(servers[place])
			}
		}()
	}
	for place := range servers {
		places <- place
	}
	close(places)
	all.Wait()
	return answers
}

func main() {
	milliseconds, err := strconv.Atoi(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	workers, err := strconv.Atoi(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	servers := os.Args[3:]
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	period := time.Duration(milliseconds) * time.Millisecond
	beat := time.NewTicker(period) // drops ticks for a slow receiver, and does not count them
	defer beat.Stop()
	before := map[string]bool{}
	last := time.Now()
	for count := 1; ; count++ {
		select {
		case <-ctx.Done():
			fmt.Printf("stopped after %d rounds\n", count-1)
			return
		case <-beat.C:
		}
		missed := int(time.Since(last)/period) - 1
		last = time.Now()
		answers := checkAll(servers, workers)
		up := 0
		for i, server := range servers {
			if answers[i] {
				up++
			}
			if was, known := before[server]; !known || was != answers[i] {
				fmt.Printf("%s is %s\n", server, map[bool]string{true: "up", false: "down"}[answers[i]])
			}
			before[server] = answers[i]
		}
		late := ""
		if missed > 0 {
			late = fmt.Sprintf(", %d rounds missed", missed)
		}
		fmt.Printf("round %d: %d of %d up%s\n", count, up, len(servers), late)
	}
}
