package main

import (
	"context"
	"errors"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/shared"

	"genset.dev/clients/tasks"
)

var chatClient = tasks.Client{
	"whole": func(model string) (string, error) {
		return wholeChat(chat(model, "Hi"))
	},
	"stream": func(model string) (string, error) {
		message, err := streamedChat(chat(model, "Hi"))
		return message.Content, err
	},
	"tool": chatTool,
	"parse": func(model string) (string, error) {
		asked := chat(model, "Hi")
		form := shared.ResponseFormatJSONSchemaJSONSchemaParam{
			Name: "weather", Schema: tasks.Form, Strict: openai.Bool(true),
		}
		asked.ResponseFormat.OfJSONSchema = &shared.ResponseFormatJSONSchemaParam{JSONSchema: form}
		return wholeChat(asked)
	},
	"list": func(model string) (string, error) {
		found := "absent"
		pages := client.Models.ListAutoPaging(context.Background())
		for pages.Next() {
			if pages.Current().ID == model {
				found = string(pages.Current().Object)
			}
		}
		return found, pages.Err()
	},
}

func chat(model, said string) openai.ChatCompletionNewParams {
	messages := []openai.ChatCompletionMessageParamUnion{openai.UserMessage(said)}
	return openai.ChatCompletionNewParams{Model: model, Messages: messages}
}

func wholeChat(asked openai.ChatCompletionNewParams) (string, error) {
	answer, err := client.Chat.Completions.New(context.Background(), asked)
	if err != nil {
		return "", err
	}
	return answer.Choices[0].Message.Content, nil
}

func streamedChat(asked openai.ChatCompletionNewParams) (openai.ChatCompletionMessage, error) {
	var told openai.ChatCompletionAccumulator
	stream := client.Chat.Completions.NewStreaming(context.Background(), asked)
	for stream.Next() {
		if !told.AddChunk(stream.Current()) {
			return openai.ChatCompletionMessage{}, errors.New("a chunk does not fit those before it")
		}
	}
	if stream.Err() != nil {
		return openai.ChatCompletionMessage{}, stream.Err()
	}
	return told.Choices[0].Message, nil
}

func chatTool(model string) (string, error) {
	asked := chat(model, tasks.Wish)
	asked.Tools = []openai.ChatCompletionToolUnionParam{openai.ChatCompletionFunctionTool(shared.FunctionDefinitionParam{
		Name: "get_weather", Description: openai.String("Says the weather"), Parameters: tasks.Tool, Strict: openai.Bool(true),
	})}
	for {
		message, err := streamedChat(asked)
		if err != nil || len(message.ToolCalls) == 0 {
			return message.Content, err
		}
		asked.Messages = append(asked.Messages, message.ToParam())
		for _, call := range message.ToolCalls {
			said, err := tasks.Weather(call.Function.Arguments)
			if err != nil {
				return "", err
			}
			asked.Messages = append(asked.Messages, openai.ToolMessage(said, call.ID))
		}
	}
}
