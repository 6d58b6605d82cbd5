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
import java.util.Queue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.locks.LockSupport;
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

  /** What the tool that runs now has ended the JVM with, had it one of its own. */
  private static volatile CompletableFuture<Integer> ended;

  /** What the tool wants done when the JVM ends: the console producer waits for its acknowledgements there. */
  private static final Queue<Runnable> HOOKS = new ConcurrentLinkedQueue<>();

  /** Stands in for the end of the JVM: the thread that asked for it never goes on. */
  private static void exit(int status, String message) {
    ended.complete(status);
    while (true) {
      LockSupport.park();
    }
  }

  public static void main(String[] arguments) throws Exception {
    Exit.setExitProcedure(Tools::exit);
    Exit.setHaltProcedure(Tools::exit);
    Exit.setShutdownHookAdder((name, hook) -> HOOKS.add(hook));
    PrintStream answers = System.out;
    var input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = input.readLine(); line != null; line = input.readLine()) {
      answers.println(run(JSON.readTree(line)));
      answers.flush();
    }
    Runtime.getRuntime().halt(0);
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
    CompletableFuture<Integer> status = new CompletableFuture<>();
    ended = status;
    try {
      var main = Class.forName(command.get("tool").asText()).getMethod("main", String[].class);
      Thread tool = new Thread(() -> {
        try {
          main.invoke(null, (Object) args);
          status.complete(0);
        } catch (InvocationTargetException e) {
          e.getCause().printStackTrace(System.err);
          status.complete(1);
        } catch (IllegalAccessException e) {
          status.completeExceptionally(e);
        }
      });
      tool.setDaemon(true);
      tool.start();
      status.join();
      Thread hooks = new Thread(() -> {
        for (Runnable hook = HOOKS.poll(); hook != null; hook = HOOKS.poll()) {
          hook.run();
        }
      });
      hooks.setDaemon(true);
      hooks.start();
      hooks.join(20_000);
    } finally {
      System.out.flush();
      System.err.flush();
      System.setOut(stdout);
      System.setErr(stderr);
      System.setIn(stdin);
    }
    return JSON.createObjectNode()
        .put("exit", status.join())
        .put("stdout", out.toString(StandardCharsets.UTF_8))
        .put("stderr", err.toString(StandardCharsets.UTF_8));
  }
}
