import com.fasterxml.jackson.annotation.JsonClassDescription;
import com.fasterxml.jackson.annotation.JsonTypeName;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.Supplier;

/**
 * Runs the tasks that are named on the command line with one client, and prints what each met, a line of JSON for each.
 *
 * <p>A task is HOW:MODEL. A client gives a function for each way to ask; it gets the model, and returns what the user would read.
 */
final class Tasks {
  static final String WISH = "Please use the tool";

  interface Asked {
    String ask(String model) throws Exception;
  }

  @JsonTypeName("get_weather")
  @JsonClassDescription("Says the weather")
  public static final class GetWeather implements Supplier<String> {
    public String city;

    @Override
    public String get() {
      return "It is sunny in " + city + ".";
    }
  }

  public static final class Form {
    public String city;
    public boolean sunny;
  }

  static String json(Object told) throws Exception {
    return new ObjectMapper().writeValueAsString(told);
  }

  static void run(String[] args, Map<String, Asked> client) throws Exception {
    for (int at = 1; at < args.length; at++) {
      int colon = args[at].indexOf(':');
      Asked asked = client.get(args[at].substring(0, colon));
      Map<String, Object> told = new LinkedHashMap<>(Map.of("task", args[at]));
      if (asked == null) {
        told.put("absent", true);
      } else {
        try {
          told.put("text", asked.ask(args[at].substring(colon + 1)));
        } catch (Exception met) {
          told.put("error", met.getClass().getSimpleName());
          told.put("message", String.valueOf(met.getMessage()));
        }
      }
      System.out.println(json(told));
    }
    System.exit(0); // The libraries' threads would wait for more to do.
  }
}
