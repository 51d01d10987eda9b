// Package tasks runs the tasks that are named on the command line with one client, and prints what each met, a line of
// JSON for each.
//
// A task is HOW:MODEL. A client gives a function for each way to ask; it gets the model, and returns what the user would read.
package tasks

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

const Wish = "Please use the tool"

var (
	URL  = os.Args[1]
	API  = os.Getenv("CLIENT_API")
	Tool = object(map[string]any{"city": kind("string")}, "city")
	Form = object(map[string]any{"city": kind("string"), "sunny": kind("boolean")}, "city", "sunny")
)

type Client map[string]func(model string) (string, error)

// Weather is the tool: it reads the arguments of a call.
func Weather(arguments string) (string, error) {
	var given struct{ City string }
	err := json.Unmarshal([]byte(arguments), &given)
	return fmt.Sprintf("It is sunny in %s.", given.City), err
}

// Run asks for the tasks. `words` are those of an error of the API, which a client may leave out of the text of its errors.
func Run(client Client, words func(error) string) {
	lines := json.NewEncoder(os.Stdout)
	for _, task := range os.Args[2:] {
		how, model, _ := strings.Cut(task, ":")
		told := map[string]any{"task": task}
		if ask := client[how]; ask == nil {
			told["absent"] = true
		} else if text, err := ask(model); err != nil {
			told["error"], told["message"] = fmt.Sprintf("%T", err), fmt.Sprintf("%v: %s", err, words(err))
		} else {
			told["text"] = text
		}
		if err := lines.Encode(told); err != nil {
			panic(err)
		}
	}
}

func kind(name string) map[string]any { return map[string]any{"type": name} }

func object(properties map[string]any, required ...string) map[string]any {
	return map[string]any{
		"type": "object", "properties": properties, "required": required, "additionalProperties": false,
	}
}
