import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import org.apache.kafka.common.utils.Exit;

/**
 * Runs Kafka's command-line tools by the names of their classes, one after another in one JVM, because starting a JVM for each
 * takes longer than what they do.
 *
 * <p>Reads lines of {@code {"tool": CLASS, "args": [...], "stdin": TEXT}} and answers each with
 * {@code {"exit": STATUS, "stdout": TEXT, "stderr": TEXT}}.
 */
public final class Tools {
  private static final ObjectMapper JSON = new ObjectMapper();

  /** Thrown where a tool would end the JVM. */
  private static final class Exited extends RuntimeException {
    final int status;

    Exited(int status) {
      super("exit " + status, null, false, false);
      this.status = status;
    }
  }

  public static void main(String[] arguments) throws Exception {
    Exit.setExitProcedure((status, message) -> {
      throw new Exited(status);
    });
    Exit.setHaltProcedure((status, message) -> {
      throw new Exited(status);
    });
    Exit.setShutdownHookAdder((name, hook) -> {});
    PrintStream answers = System.out;
    var input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = input.readLine(); line != null; line = input.readLine()) {
      answers.println(run(JSON.readTree(line)));
      answers.flush();
    }
  }

  private static ObjectNode run(JsonNode command) throws Exception {
    String[] args = JSON.convertValue(command.get("args"), String[].class);
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    ByteArrayOutputStream err = new ByteArrayOutputStream();
    PrintStream stdout = System.out;
    PrintStream stderr = System.err;
    InputStream stdin = System.in;
    System.setOut(new PrintStream(out, true, StandardCharsets.UTF_8));
    System.setErr(new PrintStream(err, true, StandardCharsets.UTF_8));
    System.setIn(new ByteArrayInputStream(command.path("stdin").asText("").getBytes(StandardCharsets.UTF_8)));
    int status = 0;
    try {
      Class.forName(command.get("tool").asText()).getMethod("main", String[].class).invoke(null, (Object) args);
    } catch (InvocationTargetException e) {
      if (e.getCause() instanceof Exited exited) {
        status = exited.status;
      } else {
        status = 1;
        e.getCause().printStackTrace(System.err);
      }
    } finally {
      System.out.flush();
      System.err.flush();
      System.setOut(stdout);
      System.setErr(stderr);
      System.setIn(stdin);
    }
    return JSON.createObjectNode()
        .put("exit", status)
        .put("stdout", out.toString(StandardCharsets.UTF_8))
        .put("stderr", err.toString(StandardCharsets.UTF_8));
  }
}
