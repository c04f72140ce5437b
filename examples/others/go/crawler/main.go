// The crawler of examples/crawler.cpp, in Go.
// SPDX-License-Identifier: MIT
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"regexp"
	"strconv"
	"sync"
	"time"
)

const (
	pageMax  = 1024 * 1024
	pagesMax = 10_000
)

var links = regexp.MustCompile(`http://[^"'<> \r\n]*`)

type crawl struct {
	requests chan struct{} // a place for each
	perHost  int
	limit    time.Duration
	pages    sync.WaitGroup

	mutex   sync.Mutex // for all below
	hosts   map[string]chan struct{}
	seen    map[string]bool
	fetched int
	failed  int
}

func (c *crawl) host(page string) chan struct{} {
	name := page
	if parsed, err := url.Parse(page); err == nil {
		name = parsed.Host
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.hosts[name] == nil {
		c.hosts[name] = make(chan struct{}, c.perHost)
	}
	return c.hosts[name]
}

func (c *crawl) fetch(ctx context.Context, page string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, "GET", page, nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != 200 {
		return nil, errors.New(strconv.Itoa(answer.StatusCode))
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, pageMax+1))
	if err == nil && len(body) > pageMax {
		err = errors.New("page too long")
	}
	return body, err
}

func acquire(ctx context.Context, places chan struct{}) bool {
	select {
	case places <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (c *crawl) visit(ctx context.Context, page string) {
	defer c.pages.Done()
	host := c.host(page)
	if !acquire(ctx, host) {
		return
	}
	defer func() { <-host }()
	if !acquire(ctx, c.requests) {
		return
	}
	defer func() { <-c.requests }()
	body, err := c.fetch(ctx, page)
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if err != nil {
		c.failed++
		fmt.Printf("%s: %v\n", page, err)
		return
	}
	c.fetched++
	fmt.Printf("%s: %d bytes\n", page, len(body))
	for _, link := range links.FindAllString(string(body), -1) {
		if !c.seen[link] && len(c.seen) < pagesMax {
			c.seen[link] = true
			c.pages.Add(1)
			go c.visit(ctx, link)
		}
	}
}

func main() {
	var atOnce, perHost, seconds int
	fmt.Sscan(os.Args[1], &atOnce)
	fmt.Sscan(os.Args[2], &perHost)
	fmt.Sscan(os.Args[3], &seconds)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	all := crawl{
		requests: make(chan struct{}, atOnce),
		perHost:  perHost,
		limit:    time.Duration(seconds) * time.Second,
		hosts:    map[string]chan struct{}{},
		seen:     map[string]bool{os.Args[4]: true},
	}
	all.pages.Add(1)
	go all.visit(ctx, os.Args[4])
	all.pages.Wait()
	fmt.Printf("%d pages, %d failed\n", all.fetched, all.failed)
	if all.failed != 0 || ctx.Err() != nil {
		os.Exit(1)
	}
}
