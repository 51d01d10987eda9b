package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/packages/param"
	"github.com/openai/openai-go/v3/responses"

	"genset.dev/clients/tasks"
)

var responsesClient = tasks.Client{
	"whole": func(model string) (string, error) {
		return wholeResponse(response(model, "Hi"))
	},
	"stream": func(model string) (string, error) {
		answer, err := streamedResponse(response(model, "Hi"))
		if err != nil {
			return "", err
		}
		return answer.OutputText(), nil
	},
	"tool": responseTool,
	"parse": func(model string) (string, error) {
		asked := response(model, "Hi")
		asked.Text.Format.OfJSONSchema = &responses.ResponseFormatTextJSONSchemaConfigParam{
			Name: "weather", Schema: tasks.Form, Strict: openai.Bool(true),
		}
		return wholeResponse(asked)
	},
	"count": func(model string) (string, error) {
		asked := responses.InputTokenCountParams{
			Model: openai.String(model), Input: responses.InputTokenCountParamsInputUnion{OfString: openai.String("Hi")},
		}
		counted, err := client.Responses.InputTokens.Count(context.Background(), asked)
		if err != nil {
			return "", err
		}
		return fmt.Sprint(counted.InputTokens > 0), nil
	},
	"list": chatClient["list"],
}

func response(model, said string) responses.ResponseNewParams {
	input := responses.ResponseInputParam{
		responses.ResponseInputItemParamOfMessage(said, responses.EasyInputMessageRoleUser),
	}
	return responses.ResponseNewParams{
		Model: model, Input: responses.ResponseNewParamsInputUnion{OfInputItemList: input},
	}
}

func wholeResponse(asked responses.ResponseNewParams) (string, error) {
	answer, err := client.Responses.New(context.Background(), asked)
	if err != nil {
		return "", err
	}
	return answer.OutputText(), nil
}

// streamedResponse gives each event to the accumulator, too, which refuses what does not fit the events before it.
func streamedResponse(asked responses.ResponseNewParams) (*responses.Response, error) {
	var told responses.ResponseAccumulator
	stream := client.Responses.NewStreaming(context.Background(), asked)
	for stream.Next() {
		var event responses.ResponsesServerEventUnion
		if err := json.Unmarshal([]byte(stream.Current().RawJSON()), &event); err != nil {
			return nil, err
		}
		if err := told.AddEvent(event); err != nil {
			return nil, err
		}
	}
	if stream.Err() != nil {
		return nil, stream.Err()
	}
	answer, err := told.ReconstructedResponse()
	if err == nil && answer.Status != responses.ResponseStatusCompleted {
		err = fmt.Errorf("%s: %s", answer.Status, answer.Error.Message)
	}
	return answer, err
}

func responseTool(model string) (string, error) {
	asked := response(model, tasks.Wish)
	asked.Tools = []responses.ToolUnionParam{{OfFunction: &responses.FunctionToolParam{
		Name: "get_weather", Description: openai.String("Says the weather"), Parameters: tasks.Tool, Strict: openai.Bool(true),
	}}}
	for {
		answer, err := streamedResponse(asked)
		if err != nil {
			return "", err
		}
		called := false
		for _, item := range answer.Output {
			given := param.Override[responses.ResponseInputItemUnionParam](json.RawMessage(item.RawJSON()))
			asked.Input.OfInputItemList = append(asked.Input.OfInputItemList, given)
			if item.Type != "function_call" {
				continue
			}
			called = true
			said, err := tasks.Weather(item.AsFunctionCall().Arguments)
			if err != nil {
				return "", err
			}
			result := responses.ResponseInputItemParamOfFunctionCallOutput(said)
			result.OfFunctionCallOutput.CallID = openai.String(item.CallID)
			asked.Input.OfInputItemList = append(asked.Input.OfInputItemList, result)
		}
		if !called {
			return answer.OutputText(), nil
		}
	}
}
