// Command fakevllm stands in for vLLM on several nodes, which needs GPUs. It keeps what vLLM documents of a group
// (docs/serving/parallelism_scaling.md): the process of rank 0 opens its API once all others have joined it at --master-addr, and
// any process that loses another one ends. It answers with a model's words, " 0000 0001 …", and knows no model.
//
// FAKE_VLLM_FAILS names a rank whose process ends at once, as one does whose GPU is broken.
package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	masterPort  = "29501" // vLLM's own default (vllm/config/parallel.py)
	joinSeconds = 120
	mostWords   = 16
)

func main() {
	options := parsed(os.Args[1:])
	go func() {
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
		<-signals
		os.Exit(0)
	}()
	rank, nodes := options["--node-rank"], number(options["--nnodes"], 1)
	if _, err := os.Stat(os.Args[1] + "/config.json"); err != nil {
		fail("Error: no model at %s", os.Args[1])
	}
	if os.Getenv("FAKE_VLLM_FAILS") == rank && rank != "" {
		fail("RuntimeError: CUDA error: no CUDA-capable device is detected (rank %s)", rank)
	}
	if _, headless := options["--headless"]; headless {
		follow(options["--master-addr"], rank)
	}
	lead(nodes - 1)
	serve(options["--served-model-name"], options["--port"])
}

// parsed returns the value of each flag; "" of those that stand alone.
func parsed(arguments []string) map[string]string {
	found := map[string]string{}
	for at, argument := range arguments {
		if strings.HasPrefix(argument, "--") {
			found[argument] = ""
		} else if at > 0 && strings.HasPrefix(arguments[at-1], "--") {
			found[arguments[at-1]] = argument
		}
	}
	return found
}

// lead returns once so many others have joined.
func lead(others int) {
	if others <= 0 {
		return
	}
	listener, err := net.Listen("tcp", ":"+masterPort)
	if err != nil {
		fail("Error: %v", err)
	}
	for joined := 0; joined < others; joined++ {
		other, err := listener.Accept()
		if err != nil {
			fail("Error: %v", err)
		}
		fmt.Println("joined by", other.RemoteAddr())
		go watch(other)
	}
}

// follow joins the process of rank 0 and stays for as long as that does.
func follow(address, rank string) {
	for deadline := time.Now().Add(joinSeconds * time.Second); ; time.Sleep(time.Second) {
		leader, err := net.DialTimeout("tcp", net.JoinHostPort(address, masterPort), 5*time.Second)
		if err == nil {
			fmt.Println("rank", rank, "joined", leader.RemoteAddr())
			watch(leader)
		}
		if time.Now().After(deadline) {
			fail("Error: rank %s did not reach its leader: %v", rank, err)
		}
	}
}

// watch ends this process with the other one.
func watch(other net.Conn) {
	_, err := other.Read(make([]byte, 1))
	fail("Error: the process at %s is gone: %v", other.RemoteAddr(), err)
}

func serve(model, port string) {
	http.HandleFunc("/health", func(answer http.ResponseWriter, _ *http.Request) {})
	http.HandleFunc("/v1/models", func(answer http.ResponseWriter, _ *http.Request) {
		tell(answer, map[string]any{"object": "list", "data": []any{map[string]any{"id": model, "object": "model"}}})
	})
	http.HandleFunc("/v1/chat/completions", func(answer http.ResponseWriter, request *http.Request) {
		var asked struct {
			MaxTokens int  `json:"max_tokens"`
			Stream    bool `json:"stream"`
		}
		if err := json.NewDecoder(request.Body).Decode(&asked); err != nil {
			http.Error(answer, err.Error(), http.StatusBadRequest)
			return
		}
		words := asked.MaxTokens
		if words <= 0 {
			words = mostWords
		}
		if !asked.Stream {
			said := ""
			for word := range words {
				said += fmt.Sprintf(" %04d", word)
			}
			message := map[string]any{"role": "assistant", "content": said}
			tell(answer, completion(model, "message", message, "length"))
			return
		}
		answer.Header().Set("Content-Type", "text/event-stream")
		for word := range words {
			event(answer, completion(model, "delta", map[string]any{"content": fmt.Sprintf(" %04d", word)}, ""))
		}
		event(answer, completion(model, "delta", map[string]any{}, "length"))
		fmt.Fprint(answer, "data: [DONE]\n\n")
	})
	fmt.Println("serves", model)
	fail("Error: %v", http.ListenAndServe(":"+port, nil))
}

func completion(model, part string, content map[string]any, finish string) map[string]any {
	choice := map[string]any{"index": 0, part: content, "finish_reason": nil}
	if finish != "" {
		choice["finish_reason"] = finish
	}
	object := "chat.completion"
	if part == "delta" {
		object = "chat.completion.chunk"
	}
	return map[string]any{"id": "chatcmpl-1", "object": object, "model": model, "choices": []any{choice}}
}

func event(answer http.ResponseWriter, content map[string]any) {
	text, _ := json.Marshal(content)
	fmt.Fprintf(answer, "data: %s\n\n", text)
	answer.(http.Flusher).Flush()
}

func tell(answer http.ResponseWriter, content map[string]any) {
	answer.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(answer).Encode(content)
}

func number(text string, otherwise int) int {
	if found, err := strconv.Atoi(text); err == nil {
		return found
	}
	return otherwise
}

func fail(format string, values ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", values...)
	os.Exit(1)
}
