// This program asks with anthropic-sdk-go, its accumulator of streams and its tool runner.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/anthropics/anthropic-sdk-go/v2"
	"github.com/anthropics/anthropic-sdk-go/v2/option"
	"github.com/anthropics/anthropic-sdk-go/v2/toolrunner"

	"genset.dev/clients/tasks"
)

var client = anthropic.NewClient(
	option.WithBaseURL(tasks.URL), option.WithAPIKey("any"), option.WithMaxRetries(0),
)

func main() {
	tasks.Run(tasks.Client{
		"whole":  func(model string) (string, error) { return whole(asked(model)) },
		"stream": stream,
		"tool":   tool,
		"parse": func(model string) (string, error) {
			params := asked(model)
			params.OutputConfig.Format.Schema = tasks.Form
			return whole(params)
		},
		"count": counted,
		"list":  listed,
	}, words)
}

func words(err error) string {
	var told *anthropic.Error
	if errors.As(err, &told) {
		return told.Message
	}
	return ""
}

func hi() []anthropic.MessageParam {
	return []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock("Hi"))}
}

func asked(model string) anthropic.MessageNewParams {
	return anthropic.MessageNewParams{Model: model, MaxTokens: 256, Messages: hi()}
}

func text(message anthropic.Message) string {
	said := ""
	for _, block := range message.Content {
		said += block.AsText().Text
	}
	return said
}

func whole(params anthropic.MessageNewParams) (string, error) {
	message, err := client.Messages.New(context.Background(), params)
	if err != nil {
		return "", err
	}
	return text(*message), nil
}

func stream(model string) (string, error) {
	var told anthropic.Message
	events := client.Messages.NewStreaming(context.Background(), asked(model))
	for events.Next() {
		if err := told.Accumulate(events.Current()); err != nil {
			return "", err
		}
	}
	return text(told), events.Err()
}

type given struct {
	City string `json:"city"`
}

func weather(_ context.Context, call given) (anthropic.BetaToolResultBlockParamContentUnion, error) {
	said := fmt.Sprintf("It is sunny in %s.", call.City)
	return anthropic.BetaToolResultBlockParamContentUnion{OfText: &anthropic.BetaTextBlockParam{Text: said}}, nil
}

func tool(model string) (string, error) {
	schema, err := json.Marshal(tasks.Tool)
	if err != nil {
		return "", err
	}
	held, err := toolrunner.NewBetaToolFromBytes("get_weather", "Says the weather", schema, weather)
	if err != nil {
		return "", err
	}
	wish := []anthropic.BetaMessageParam{anthropic.NewBetaUserMessage(anthropic.NewBetaTextBlock(tasks.Wish))}
	params := anthropic.BetaMessageNewParams{Model: model, MaxTokens: 256, Messages: wish}
	runner := client.Beta.Messages.NewToolRunnerStreaming(
		[]anthropic.BetaTool{held}, anthropic.BetaToolRunnerParams{BetaMessageNewParams: params},
	)
	for events, err := range runner.AllStreaming(context.Background()) {
		if err != nil {
			return "", err
		}
		for _, err := range events {
			if err != nil {
				return "", err
			}
		}
	}
	said := ""
	for _, block := range runner.LastMessage().Content {
		said += block.AsText().Text
	}
	return said, nil
}

func counted(model string) (string, error) {
	params := anthropic.MessageCountTokensParams{Model: model, Messages: hi()}
	told, err := client.Messages.CountTokens(context.Background(), params)
	if err != nil {
		return "", err
	}
	return fmt.Sprint(told.InputTokens > 0), nil
}

func listed(model string) (string, error) {
	found := "absent"
	pages := client.Models.ListAutoPaging(context.Background(), anthropic.ModelListParams{})
	for pages.Next() {
		if pages.Current().ID == model {
			found = string(pages.Current().Type)
		}
	}
	return found, pages.Err()
}
