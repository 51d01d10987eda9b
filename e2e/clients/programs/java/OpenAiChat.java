import com.openai.client.OpenAIClient;
import com.openai.client.okhttp.OpenAIOkHttpClient;
import com.openai.helpers.ChatCompletionAccumulator;
import com.openai.models.chat.completions.ChatCompletionCreateParams;
import com.openai.models.chat.completions.ChatCompletionMessage;
import com.openai.models.chat.completions.ChatCompletionToolMessageParam;
import com.openai.models.models.Model;
import java.util.List;
import java.util.Map;

/** This program asks with openai-java, in OpenAI's chat. The library validates each answer by its types. */
final class OpenAiChat {
  private static OpenAIClient client;

  public static void main(String[] args) throws Exception {
    client = client(args[0]);
    Tasks.run(
        args,
        Map.of(
            "whole", model -> client.chat().completions().create(asked(model, "Hi").build()).choices().get(0).message().content().get(),
            "stream", model -> streamed(asked(model, "Hi").build()).content().get(),
            "tool", OpenAiChat::tool,
            "parse", OpenAiChat::parse,
            "list", OpenAiChat::listed));
  }

  static OpenAIClient client(String url) {
    return OpenAIOkHttpClient.builder().baseUrl(url + "/v1").apiKey("any").maxRetries(0).responseValidation(true).build();
  }

  private static ChatCompletionCreateParams.Builder asked(String model, String said) {
    return ChatCompletionCreateParams.builder().model(model).addUserMessage(said);
  }

  private static ChatCompletionMessage streamed(ChatCompletionCreateParams asked) {
    ChatCompletionAccumulator told = ChatCompletionAccumulator.create();
    try (var stream = client.chat().completions().createStreaming(asked)) {
      stream.stream().forEach(told::accumulate);
    }
    return told.chatCompletion().choices().get(0).message();
  }

  private static String tool(String model) {
    ChatCompletionCreateParams.Builder asked = asked(model, Tasks.WISH).addTool(Tasks.GetWeather.class);
    while (true) {
      ChatCompletionMessage message = streamed(asked.build());
      var calls = message.toolCalls().orElse(List.of());
      if (calls.isEmpty()) return message.content().get();
      asked.addMessage(message);
      for (var called : calls) {
        var call = called.asFunction();
        String said = call.function().arguments(Tasks.GetWeather.class).get();
        asked.addMessage(ChatCompletionToolMessageParam.builder().toolCallId(call.id()).content(said).build());
      }
    }
  }

  private static String parse(String model) throws Exception {
    var asked = asked(model, "Hi").responseFormat(Tasks.Form.class).build();
    return Tasks.json(client.chat().completions().create(asked).choices().get(0).message().content().get());
  }

  private static String listed(String model) {
    for (Model one : client.models().list().autoPager()) if (one.id().equals(model)) return "model";
    return "absent";
  }
}
