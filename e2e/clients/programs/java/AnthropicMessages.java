import com.anthropic.client.AnthropicClient;
import com.anthropic.client.okhttp.AnthropicOkHttpClient;
import com.anthropic.helpers.BetaMessageAccumulator;
import com.anthropic.helpers.MessageAccumulator;
import com.anthropic.models.messages.Message;
import com.anthropic.models.messages.MessageCountTokensParams;
import com.anthropic.models.messages.MessageCreateParams;
import com.anthropic.models.models.ModelInfo;
import java.util.Map;
import java.util.stream.Collectors;

/** This program asks with anthropic-java and its tool runner. The library validates each answer by its types. */
final class AnthropicMessages {
  private static AnthropicClient client;

  public static void main(String[] args) throws Exception {
    client = AnthropicOkHttpClient.builder().baseUrl(args[0]).apiKey("any").maxRetries(0).responseValidation(true).build();
    Tasks.run(
        args,
        Map.of(
            "whole", model -> text(client.messages().create(asked(model).build())),
            "stream", model -> text(streamed(asked(model).build())),
            "tool", AnthropicMessages::tool,
            "parse", AnthropicMessages::parse,
            "count", AnthropicMessages::counted,
            "list", AnthropicMessages::listed));
  }

  private static MessageCreateParams.Builder asked(String model) {
    return MessageCreateParams.builder().model(model).maxTokens(256).addUserMessage("Hi");
  }

  private static Message streamed(MessageCreateParams asked) {
    MessageAccumulator told = MessageAccumulator.create();
    try (var stream = client.messages().createStreaming(asked)) {
      stream.stream().forEach(told::accumulate);
    }
    return told.message();
  }

  private static String text(Message message) {
    return message.content().stream()
        .flatMap(block -> block.text().stream())
        .map(block -> block.text())
        .collect(Collectors.joining());
  }

  private static String tool(String model) {
    var asked =
        com.anthropic.models.beta.messages.MessageCreateParams.builder()
            .model(model)
            .maxTokens(256)
            .addUserMessage(Tasks.WISH)
            .addTool(Tasks.GetWeather.class)
            .build();
    String said = "";
    for (var stream : client.beta().messages().toolRunner(asked).streaming()) {
      BetaMessageAccumulator told = BetaMessageAccumulator.create();
      stream.stream().forEach(told::accumulate);
      said =
          told.message().content().stream()
              .flatMap(block -> block.text().stream())
              .map(block -> block.text())
              .collect(Collectors.joining());
    }
    return said;
  }

  private static String parse(String model) throws Exception {
    var answer = client.messages().create(asked(model).outputConfig(Tasks.Form.class).build());
    return Tasks.json(answer.content().get(0).asText().text());
  }

  private static String counted(String model) {
    var asked = MessageCountTokensParams.builder().model(model).addUserMessage("Hi").build();
    return String.valueOf(client.messages().countTokens(asked).inputTokens() > 0);
  }

  private static String listed(String model) {
    for (ModelInfo one : client.models().list().autoPager()) if (one.id().equals(model)) return "model";
    return "absent";
  }
}
