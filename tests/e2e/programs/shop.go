// SPDX-License-Identifier: Apache-2.0
// shop: as calls.c, with goroutines.
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

var tiers = []string{"gold", "silver", "tin", ""}
var moved atomic.Int64

//go:noinline
func checkout(basket int, tier string, last int32) (int, error) {
	if basket%5 == 0 {
		return -basket, nil
	}
	return basket + len(tier) + int(last), nil
}

type Basket struct{ total atomic.Int64 }

//go:noinline
func (b *Basket) Add(price int64) { b.total.Add(price) }

// Changes threads, if it can, and grows its stack, under way.
//
//go:noinline
func wander(ms int, wake chan bool) int {
	before := syscall.Gettid()
	for i := 0; i < 20; i++ {
		runtime.Gosched()
	}
	if wake != nil {
		<-wake
	}
	time.Sleep(time.Duration(ms) * time.Millisecond)
	if syscall.Gettid() != before {
		moved.Add(1)
	}
	return before
}

// Its callees need more stack than a goroutine begins with.
//
//go:noinline
func grow(depth int) int {
	return deepen(depth)
}

//go:noinline
func deepen(depth int) int {
	var frame [128]byte
	if depth == 0 {
		return 0
	}
	frame[depth%128] = byte(depth)
	return deepen(depth-1) + int(frame[depth%128]) - int(byte(depth)) + 1
}

// Of three one panics.
//
//go:noinline
func fail(number int) int {
	if number%3 == 0 {
		panic("three")
	}
	return number
}

func caught(number int) (failed int) {
	defer func() {
		if recover() != nil {
			failed = 1
		}
	}()
	fail(number)
	return
}

func together(count int, run func(int) int) int {
	var group sync.WaitGroup
	var sum atomic.Int64
	for i := 0; i < count; i++ {
		group.Add(1)
		go func(i int) {
			defer group.Done()
			sum.Add(int64(run(i)))
		}(i)
	}
	group.Wait()
	return int(sum.Load())
}

func checkoutAll(calls int) func(int) int {
	return func(routine int) (sum int) {
		for i := 1; i <= calls; i++ {
			got, _ := checkout(i, tiers[routine%4], int32(routine%4-1))
			sum += got
			if i%50 == 0 {
				runtime.Gosched()
			}
		}
		return
	}
}

func wanderAll(ms int) func(int) int {
	return func(routine int) int {
		wake := make(chan bool)
		go func() {
			runtime.Gosched()
			wake <- true
		}()
		wander(ms, wake)
		return 1
	}
}

func failAll(calls int) func(int) int {
	return func(int) (failed int) {
		for i := 1; i <= calls; i++ {
			failed += caught(i)
		}
		return
	}
}

func addAll(calls int) int {
	var basket Basket
	together(4, func(int) int {
		for i := 1; i <= calls; i++ {
			basket.Add(int64(i))
		}
		return 0
	})
	return int(basket.total.Load())
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var count, calls, result int
		name, _, _ := strings.Cut(lines.Text(), " ")
		fmt.Sscanf(lines.Text(), name+" %d %d", &count, &calls)
		switch name {
		case "checkout":
			result = together(count, checkoutAll(calls))
		case "wander":
			result = together(count, wanderAll(calls))
		case "moved":
			result = int(moved.Load())
		case "grow":
			result = together(count, func(int) int { return grow(calls) })
		case "fail":
			result = together(count, failAll(calls))
		case "add":
			result = addAll(calls)
		}
		fmt.Println("=", result)
	}
}
