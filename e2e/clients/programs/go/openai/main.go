// This program asks with openai-go and its accumulators of streams. CLIENT_API is chat or responses.
package main

import (
	"errors"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"genset.dev/clients/tasks"
)

var client = openai.NewClient(
	option.WithBaseURL(tasks.URL+"/v1"), option.WithAPIKey("any"), option.WithMaxRetries(0),
)

func main() {
	if tasks.API == "responses" {
		tasks.Run(responsesClient, words)
	} else {
		tasks.Run(chatClient, words)
	}
}

func words(err error) string {
	var told *openai.Error
	if errors.As(err, &told) {
		return told.Message
	}
	return ""
}
