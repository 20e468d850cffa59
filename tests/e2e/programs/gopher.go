// SPDX-License-Identifier: Apache-2.0
// gopher serve PORT | gopher get URL COUNT CONNECTIONS
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"sync"
)

func serve(port string) {
	http.HandleFunc("/hello", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		fmt.Fprintln(w, "hello world")
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+port, nil))
}

func get(url string, count, connections int) {
	var group sync.WaitGroup
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: connections}}
	for i := 0; i < connections; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for j := 0; j < count/connections; j++ {
				response, err := client.Get(url)
				if err != nil {
					log.Fatal(err)
				}
				io.Copy(io.Discard, response.Body)
				response.Body.Close()
			}
		}()
	}
	group.Wait()
}

func main() {
	if os.Args[1] == "serve" {
		serve(os.Args[2])
		return
	}
	count, _ := strconv.Atoi(os.Args[3])
	connections, _ := strconv.Atoi(os.Args[4])
	get(os.Args[2], count, connections)
}
