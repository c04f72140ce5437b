// The rows of scale.py between two threads in Go (GOMAXPROCS=2).
//
//	$ threads_go --rounds 3 --only "sleeping thread woken, and back"
//	sleeping thread woken, and back       67210.3    66012.9
//
// Like in micro_threads.cpp: nanoseconds per operation, the median and the least of the rounds.
// SPDX-License-Identifier: MIT
package main

import (
	"flag"
	"fmt"
	"runtime"
	"sort"
	"time"
)

// The goroutines are locked to their threads: otherwise one thread would run both, and none would
// sleep.
func wakeUps(count int) {
	there, back := make(chan int), make(chan int)
	ended := make(chan bool)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for i := range there {
			back <- i
		}
		close(ended)
	}()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for i := 0; i < count; i++ {
		there <- i
		<-back
	}
	close(there)
	<-ended
}

func items(count int) {
	queue := make(chan int, 1024)
	go func() {
		for i := 0; i < count; i++ {
			queue <- i
		}
		close(queue)
	}()
	sum := 0
	for i := range queue {
		sum += i
	}
	if sum != count*(count-1)/2 {
		panic("an item was lost")
	}
}

func main() {
	rounds := flag.Int("rounds", 7, "rounds of each row")
	only := flag.String("only", "", "the row to measure (default all)")
	flag.Parse()
	runtime.GOMAXPROCS(2)
	rows := []struct {
		name  string
		count int
		work  func(int)
	}{
		{"sleeping thread woken, and back", 5_000, wakeUps},
		{"queue between threads, item", 1_000_000, items},
	}
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
}
