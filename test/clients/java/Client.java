import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.consumer.OffsetOutOfRangeException;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Kafka's own Java client, driven from the command line. test/README.md describes the verbs, their options and the lines they
 * read and write.
 *
 * <pre>java -cp 'target/lib/*:target/classes' Client BROKERS produce|consume|group TOPIC [name=value ...]</pre>
 */
public final class Client {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final AtomicBoolean CLOSED = new AtomicBoolean();

  private final String brokers;
  private final String topic;
  private final Map<String, String> options = new HashMap<>();

  private Client(String[] arguments) {
    brokers = arguments[0];
    topic = arguments[2];
    for (String option : Arrays.asList(arguments).subList(3, arguments.length)) {
      String[] parts = option.split("=", 2);
      options.put(parts[0], parts[1]);
    }
  }

  public static void main(String[] arguments) throws Exception {
    Client client = new Client(arguments);
    try {
      switch (arguments[1]) {
        case "produce" -> client.produce();
        case "consume" -> client.consume();
        case "group" -> client.group();
        default -> throw new IllegalArgumentException("unknown verb " + arguments[1]);
      }
    } catch (ExecutionException e) {
      fail(e.getCause());
    } catch (RuntimeException e) {
      fail(e);
    }
  }

  private static synchronized void print(ObjectNode line) {
    System.out.println(line);
    System.out.flush();
  }

  private static void fail(Throwable error) {
    Throwable cause = error;
    // send() wraps what metadata answered in a timeout.
    if (error.getMessage() != null && error.getCause() instanceof UnknownTopicOrPartitionException) {
      cause = error.getCause();
    }
    // The consumer's own exception is not the one of the protocol.
    Errors known = cause instanceof OffsetOutOfRangeException ? Errors.OFFSET_OUT_OF_RANGE : Errors.forException(cause);
    print(JSON.createObjectNode().put("error", cause.toString()).put("code", known.code()));
    Runtime.getRuntime().halt(1);
  }

  private static byte[] decode(JsonNode node) {
    return node == null || node.isNull() ? null : Base64.getDecoder().decode(node.asText());
  }

  private static String encode(byte[] bytes) {
    return bytes == null ? null : Base64.getEncoder().encodeToString(bytes);
  }

  private static Integer integer(JsonNode node) {
    return node == null || node.isNull() ? null : Integer.valueOf(node.asInt());
  }

  private ProducerRecord<byte[], byte[]> decodeRecord(String line) throws Exception {
    JsonNode node = JSON.readTree(line);
    List<Header> headers = new ArrayList<>();
    if (node.hasNonNull("headers")) {
      node.get("headers").forEach(pair -> headers.add(new RecordHeader(pair.get(0).asText(), decode(pair.get(1)))));
    }
    Long timestamp = node.hasNonNull("timestamp") ? Long.valueOf(node.get("timestamp").asLong()) : null;
    return new ProducerRecord<>(
        topic, integer(node.get("partition")), timestamp, decode(node.get("key")), decode(node.get("value")), headers);
  }

  private static void printRecord(ConsumerRecord<byte[], byte[]> record) {
    ObjectNode line = JSON.createObjectNode();
    line.put("partition", record.partition()).put("offset", record.offset()).put("timestamp", record.timestamp());
    line.put("key", encode(record.key())).put("value", encode(record.value()));
    ArrayNode headers = line.putArray("headers");
    record.headers().forEach(header -> headers.addArray().add(header.key()).add(encode(header.value())));
    print(line);
  }

  private void produce() throws Exception {
    Properties properties = new Properties();
    properties.put("bootstrap.servers", brokers);
    properties.put("acks", options.getOrDefault("acks", "all"));
    properties.put("enable.idempotence", options.getOrDefault("idempotent", "false"));
    properties.put("compression.type", options.getOrDefault("codec", "none"));
    properties.put("max.request.size", 20_000_000);
    properties.put("max.block.ms", options.getOrDefault("timeout", "60000"));
    properties.put("linger.ms", 5);
    AtomicInteger acked = new AtomicInteger();
    try (var producer = new KafkaProducer<>(properties, new ByteArraySerializer(), new ByteArraySerializer())) {
      var input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
      for (String line = input.readLine(); line != null; line = input.readLine()) {
        producer.send(decodeRecord(line), (metadata, error) -> {
          if (error != null) {
            fail(error);
          }
          print(JSON.createObjectNode().put("acked", acked.incrementAndGet()));
        });
      }
    }
  }

  private KafkaConsumer<byte[], byte[]> consumer(Map<String, Object> more) {
    Map<String, Object> properties = new HashMap<>(more);
    properties.put("bootstrap.servers", brokers);
    properties.put("auto.offset.reset", options.getOrDefault("reset", "earliest"));
    properties.put("metadata.max.age.ms", 1000);
    return new KafkaConsumer<>(properties, new ByteArrayDeserializer(), new ByteArrayDeserializer());
  }

  private void seek(KafkaConsumer<byte[], byte[]> consumer, List<TopicPartition> places) {
    String[] from = options.getOrDefault("from", "start").split(":");
    switch (from[0]) {
      case "start" -> consumer.seekToBeginning(places);
      case "end" -> consumer.seekToEnd(places);
      case "offset" -> places.forEach(place -> consumer.seek(place, Long.parseLong(from[1])));
      default -> {
        Map<TopicPartition, Long> times = new HashMap<>();
        places.forEach(place -> times.put(place, Long.valueOf(from[1])));
        for (Map.Entry<TopicPartition, OffsetAndTimestamp> found : consumer.offsetsForTimes(times).entrySet()) {
          if (found.getValue() == null) {
            consumer.seekToEnd(List.of(found.getKey()));
          } else {
            consumer.seek(found.getKey(), found.getValue().offset());
          }
        }
      }
    }
  }

  private void consume() {
    int count = Integer.parseInt(options.get("count"));
    try (var consumer = consumer(Map.of("enable.auto.commit", false, "allow.auto.create.topics", false))) {
      List<TopicPartition> places = new ArrayList<>();
      List<PartitionInfo> found = consumer.partitionsFor(topic);
      if (found == null || found.isEmpty()) {
        throw new UnknownTopicOrPartitionException(topic);
      }
      for (PartitionInfo partition : found) {
        if (options.getOrDefault("partition", "" + partition.partition()).equals("" + partition.partition())) {
          places.add(new TopicPartition(topic, partition.partition()));
        }
      }
      consumer.assign(places);
      seek(consumer, places);
      for (int seen = 0; seen < count; ) {
        for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofSeconds(1))) {
          if (seen++ < count) {
            printRecord(record);
          }
        }
      }
    }
  }

  private void group() {
    awaitClosedInput();
    Map<String, Object> properties = new HashMap<>();
    properties.put("group.id", options.get("group"));
    properties.put("session.timeout.ms", Integer.valueOf(options.getOrDefault("session", "10000")));
    properties.put("heartbeat.interval.ms", 500);
    properties.put("auto.commit.interval.ms", 500);
    try (var consumer = consumer(properties)) {
      consumer.subscribe(List.of(topic), new ConsumerRebalanceListener() {
        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> revoked) {}

        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> added) {
          ObjectNode line = JSON.createObjectNode();
          ArrayNode assigned = line.putArray("assigned");
          consumer.assignment().forEach(place -> assigned.add(place.partition()));
          print(line);
        }
      });
      while (!CLOSED.get()) {
        consumer.poll(Duration.ofMillis(100)).forEach(Client::printRecord);
      }
    }
  }

  /** Notes when standard input closes: how a group member is asked to leave. */
  private static void awaitClosedInput() {
    Thread reader = new Thread(() -> {
      try {
        while (System.in.read() >= 0) {
          continue;
        }
      } catch (java.io.IOException e) {
        // A broken input is a closed one.
      }
      CLOSED.set(true);
    });
    reader.setDaemon(true);
    reader.start();
  }
}
