// The rows of micro_peers.py in Go, with one P (GOMAXPROCS=1), so that no goroutine runs in
// parallel with another, as in one scheduler of ringlet. What Go has works across threads all the
// same; ringlet's objects belong to one scheduler.
//
//	$ micro_go --rounds 3 --only "yield"
//	yield                                    52.1       51.8
//
// Like in micro.cpp: nanoseconds per operation, the median and the least of the rounds.
// SPDX-License-Identifier: MIT
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"sort"
	"sync"
	"sync/atomic"
	"time"
)

func spawnAndJoin(count int) {
	var done sync.WaitGroup
	for i := 0; i < count; i++ {
		done.Add(1)
		go done.Done()
		done.Wait()
	}
}

func yields(count int) {
	for i := 0; i < count; i++ {
		runtime.Gosched()
	}
}

func locks(count int) {
	var lock sync.Mutex
	for i := 0; i < count; i++ {
		lock.Lock()
		lock.Unlock()
	}
}

// Runs both functions in goroutines of their own, and waits for their ends.
func both(one, other func()) {
	var done sync.WaitGroup
	done.Add(2)
	go func() { one(); done.Done() }()
	go func() { other(); done.Done() }()
	done.Wait()
}

// A sync.Mutex is not handed over: the goroutine that unlocks it may lock it again before the one
// that it has woken. Only when that one has waited for 1 ms is the mutex given to it. So this row
// does less than in ringlet and tokio.
func locksHandedOver(count int) {
	var lock sync.Mutex
	inTurn := func() {
		for i := 0; i < count/2; i++ {
			lock.Lock()
			runtime.Gosched()
			lock.Unlock()
		}
	}
	both(inTurn, inTurn)
}

// Go's idiom for a semaphore: a channel with room for as many as may pass.
func permits(count int) {
	two := make(chan struct{}, 2)
	for i := 0; i < count; i++ {
		two <- struct{}{}
		<-two
	}
}

func conditions(count int) {
	var lock sync.Mutex
	changed := sync.NewCond(&lock)
	whose := 0
	takeTurns := func(me int) func() {
		return func() {
			lock.Lock()
			for i := 0; i < count/2; i++ {
				for whose != me {
					changed.Wait()
				}
				whose = 1 - me
				changed.Signal()
			}
			lock.Unlock()
		}
	}
	both(takeTurns(0), takeTurns(1))
}

// Go has one type for ringlet's queue and channel.
func queueOfOne(count int) {
	items := make(chan int, 1)
	sum := 0
	both(
		func() {
			for i := 0; i < count; i++ {
				items <- i
			}
		},
		func() {
			for i := 0; i < count; i++ {
				sum += <-items
			}
		})
	used += sum
}

func channelOfOne(count int) {
	items := make(chan int, 1)
	sum := 0
	both(
		func() {
			for i := 0; i < count; i++ {
				items <- i
			}
			close(items)
		},
		func() {
			for next := range items {
				sum += next
			}
		})
	used += sum
}

func selects(count int) {
	one, other := make(chan int, 1), make(chan int, 1)
	push := func(to chan int, most int) {
		for i := 0; i < most; i++ {
			to <- i
		}
	}
	go push(one, count/2)
	go push(other, count-count/2)
	for i := 0; i < count; i++ {
		select {
		case next := <-one:
			used += next
		case next := <-other:
			used += next
		}
	}
}

// Go's idiom for an event: a channel that is closed.
func spawnEach(count int) {
	on := make(chan struct{})
	close(on)
	var done sync.WaitGroup
	done.Add(count)
	for i := 0; i < count; i++ {
		go func() {
			<-on
			done.Done()
		}()
	}
	done.Wait()
}

func wakeEach(count int) {
	on := make(chan struct{})
	var done sync.WaitGroup
	done.Add(count)
	var begun int64
	for i := 0; i < count; i++ {
		go func() {
			atomic.AddInt64(&begun, 1)
			<-on
			done.Done()
		}()
	}
	for atomic.LoadInt64(&begun) != int64(count) {
		runtime.Gosched()
	}
	close(on)
	done.Wait()
}

var used int // So that no sum is optimised away.

var rows = []struct {
	name  string
	count int
	work  func(count int)
}{
	{"spawn + join", 200000, spawnAndJoin},
	{"yield", 1000000, yields},
	{"mutex, lock and unlock", 5000000, locks},
	{"mutex, handed over (with a yield)", 500000, locksHandedOver},
	{"semaphore, acquire and release", 2000000, permits},
	{"condition, notify and wake", 300000, conditions},
	{"queue of 1, item handed over", 500000, queueOfOne},
	{"channel of 1, item handed over", 500000, channelOfOne},
	{"select of two queues", 300000, selects},
	{"100,000 fibers that need not wait", 100000, spawnEach},
	{"100,000 fibers that one event wakes", 100000, wakeEach},
}

func main() {
	rounds := flag.Int("rounds", 11, "rounds of each workload")
	only := flag.String("only", "", "the name of a workload")
	flag.Parse()
	runtime.GOMAXPROCS(1)
	for _, row := range rows {
		if *only != "" && *only != row.name {
			continue
		}
		row.work(row.count/10 + 1)
		each := make([]float64, *rounds)
		for i := range each {
			begin := time.Now()
			row.work(row.count)
			each[i] = float64(time.Since(begin).Nanoseconds()) / float64(row.count)
		}
		sort.Float64s(each)
		fmt.Printf("%-34s %10.1f %10.1f\n", row.name, each[len(each)/2], each[0])
	}
	if used == 1 {
		fmt.Fprintln(os.Stderr)
	}
}
