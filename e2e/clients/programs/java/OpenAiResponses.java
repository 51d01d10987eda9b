import com.openai.client.OpenAIClient;
import com.openai.helpers.ResponseAccumulator;
import com.openai.models.responses.EasyInputMessage;
import com.openai.models.responses.Response;
import com.openai.models.responses.ResponseCreateParams;
import com.openai.models.responses.ResponseInputItem;
import com.openai.models.responses.ResponseInputItem.FunctionCallOutput;
import com.openai.models.responses.ResponseOutputItem;
import com.openai.models.responses.inputtokens.InputTokenCountParams;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/** This program asks with openai-java, in the Responses API. The library validates each answer by its types. */
final class OpenAiResponses {
  private static OpenAIClient client;

  public static void main(String[] args) throws Exception {
    client = OpenAiChat.client(args[0]);
    Tasks.run(
        args,
        Map.of(
            "whole", model -> text(client.responses().create(asked(model, "Hi").build())),
            "stream", model -> text(streamed(asked(model, "Hi").build())),
            "tool", OpenAiResponses::tool,
            "parse", OpenAiResponses::parse,
            "count", OpenAiResponses::counted));
  }

  private static ResponseCreateParams.Builder asked(String model, String said) {
    return ResponseCreateParams.builder().model(model).input(said);
  }

  private static Response streamed(ResponseCreateParams asked) {
    ResponseAccumulator told = ResponseAccumulator.create();
    try (var stream = client.responses().createStreaming(asked)) {
      stream.stream().forEach(told::accumulate);
    }
    Response answer = told.response();
    answer.error().ifPresent(met -> { throw new IllegalStateException(met.message()); });
    return answer;
  }

  private static String text(Response answer) {
    return answer.output().stream()
        .flatMap(item -> item.message().stream())
        .flatMap(message -> message.content().stream())
        .map(part -> part.asOutputText().text())
        .collect(Collectors.joining());
  }

  private static String tool(String model) {
    List<ResponseInputItem> input = new ArrayList<>();
    var wish = EasyInputMessage.builder().role(EasyInputMessage.Role.USER).content(Tasks.WISH).build();
    input.add(ResponseInputItem.ofEasyInputMessage(wish));
    while (true) {
      Response answer = streamed(asked(model, "").inputOfResponse(input).addTool(Tasks.GetWeather.class).build());
      boolean called = false;
      for (ResponseOutputItem item : answer.output()) {
        if (item.isMessage()) {
          input.add(ResponseInputItem.ofResponseOutputMessage(item.asMessage()));
        } else if (item.isFunctionCall()) {
          called = true;
          var call = item.asFunctionCall();
          String said = call.arguments(Tasks.GetWeather.class).get();
          input.add(ResponseInputItem.ofFunctionCall(call));
          input.add(ResponseInputItem.ofFunctionCallOutput(FunctionCallOutput.builder().callId(call.callId()).output(said).build()));
        }
      }
      if (!called) return text(answer);
    }
  }

  private static String parse(String model) throws Exception {
    var answer = client.responses().create(asked(model, "Hi").text(Tasks.Form.class).build());
    var message = answer.output().stream().flatMap(item -> item.message().stream()).findFirst().get();
    return Tasks.json(message.content().get(0).asOutputText());
  }

  private static String counted(String model) {
    var asked = InputTokenCountParams.builder().model(model).input("Hi").build();
    return String.valueOf(client.responses().inputTokens().count(asked).inputTokens() > 0);
  }
}
