/* A contestant of `make bench-bus`: RabbitMQ's C client, which says what the broker can do.
 *
 *     bus URL        then verbs on stdin; see bus_load.py, whose constants are repeated here
 *
 * Needs librabbitmq-dev: cc -O2 -Wall -o bus bus.c -lrabbitmq
 */

#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

enum {
    WINDOW = 1000,   /* publishes without their confirm, at most */
    PREFETCH = 256,  /* deliveries without their ack, at most */
    ACKED = 64,      /* deliveries acked together */
    WARM = 24,       /* one delivery in so many goes by before consuming is timed */
    BODY_SIZE = 1000,
    FRAME_SIZE = 131072,
    PATIENCE = 20,   /* seconds to wait for the broker at most */
    CHANNEL = 1,
};

static const int64_t PACE = 10 * 1000 * 1000; /* ns between two messages whose delay is measured */
static const char BEGIN[] = "{\"text\":\"", END[] = "..\"}", WORD[] = "kakapo ";

static char body[BODY_SIZE];

/* Says what is wrong, as an answer where one is due, and ends. */
static void fail(const char *what, const char *why) {
    printf("{\"error\":\"%s: %s\"}\n", what, why);
    fflush(stdout);
    exit(1);
}

static int64_t clock_ns(clockid_t which) {
    struct timespec now;
    clock_gettime(which, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

struct stopwatch {
    int64_t at, cpu;
};

static struct stopwatch started(void) {
    struct stopwatch watch = {clock_ns(CLOCK_MONOTONIC), clock_ns(CLOCK_PROCESS_CPUTIME_ID)};
    return watch;
}

static void tell(struct stopwatch watch, long count) {
    printf("{\"count\":%ld,\"seconds\":%.9f,\"cpu\":%.9f}\n", count, (clock_ns(CLOCK_MONOTONIC) - watch.at) / 1e9,
           (clock_ns(CLOCK_PROCESS_CPUTIME_ID) - watch.cpu) / 1e9);
}

static void expect_status(int status, const char *what) {
    if (status < 0) fail(what, amqp_error_string2(status));
}

/* The broker's answer to the call before. */
static void expect_reply(amqp_connection_state_t connection, const char *what) {
    amqp_rpc_reply_t reply = amqp_get_rpc_reply(connection);
    if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION) fail(what, amqp_error_string2(reply.library_error));
    if (reply.reply_type != AMQP_RESPONSE_NORMAL) fail(what, "the broker refused");
}

/* A new connection with a channel. */
static amqp_connection_state_t opened(const char *url) {
    struct amqp_connection_info at;
    char *text = strdup(url);
    amqp_default_connection_info(&at);
    expect_status(amqp_parse_url(text, &at), "the URL");
    amqp_connection_state_t connection = amqp_new_connection();
    amqp_socket_t *socket = amqp_tcp_socket_new(connection);
    expect_status(amqp_socket_open(socket, at.host, at.port), "connect");
    const char *vhost = at.vhost && *at.vhost ? at.vhost : "/";
    amqp_rpc_reply_t reply =
        amqp_login(connection, vhost, 0, FRAME_SIZE, 0, AMQP_SASL_METHOD_PLAIN, at.user, at.password);
    if (reply.reply_type != AMQP_RESPONSE_NORMAL) fail("log in", "the broker refused");
    amqp_channel_open(connection, CHANNEL);
    expect_reply(connection, "open a channel");
    free(text);
    return connection;
}

static void closed(amqp_connection_state_t connection) {
    amqp_connection_close(connection, AMQP_REPLY_SUCCESS);
    amqp_destroy_connection(connection);
}

static amqp_field_value_t text_value(const char *text) {
    amqp_field_value_t value = {.kind = AMQP_FIELD_KIND_UTF8, .value = {.bytes = amqp_cstring_bytes(text)}};
    return value;
}

static amqp_field_value_t long_value(int64_t number) {
    amqp_field_value_t value = {.kind = AMQP_FIELD_KIND_I64, .value = {.i64 = number}};
    return value;
}

/* An item of ours, with its properties and headers. */
static void publish_one(amqp_connection_state_t connection, const char *exchange, const char *topic, long number) {
    char id[32], cursor[32], author[32];
    int64_t now = clock_ns(CLOCK_REALTIME) / 1000000;
    snprintf(id, sizeof id, "bench/%ld", number);
    snprintf(cursor, sizeof cursor, "%ld", number);
    snprintf(author, sizeof author, "author-%ld", number % 1000);
    amqp_table_entry_t entries[] = {
        {amqp_cstring_bytes("received"), long_value(now)},
        {amqp_cstring_bytes("cursor"), text_value(cursor)},
        {amqp_cstring_bytes("partitionkey"), text_value(author)},
        {amqp_cstring_bytes("timestamp_in_ms"), long_value(now)},
    };
    amqp_basic_properties_t properties = {
        ._flags = AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_HEADERS_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG |
                  AMQP_BASIC_MESSAGE_ID_FLAG | AMQP_BASIC_TIMESTAMP_FLAG | AMQP_BASIC_TYPE_FLAG,
        .content_type = amqp_cstring_bytes("application/json"),
        .headers = {sizeof entries / sizeof *entries, entries},
        .delivery_mode = 2,
        .message_id = amqp_cstring_bytes(id),
        .timestamp = now / 1000,
        .type = amqp_cstring_bytes("post"),
    };
    amqp_bytes_t content = {BODY_SIZE, body};
    int status = amqp_basic_publish(connection, CHANNEL, amqp_cstring_bytes(exchange), amqp_cstring_bytes(topic), 0, 0,
                                    &properties, content);
    expect_status(status, "publish");
}

/* Which publishes are confirmed. */
struct confirms {
    char *known; /* by tag */
    long behind; /* all tags up to it are */
    long count;
};

/* Take one frame, if one comes in time. */
static int take_confirm(amqp_connection_state_t connection, struct confirms *confirms, struct timeval *limit) {
    amqp_frame_t frame;
    int status = amqp_simple_wait_frame_noblock(connection, &frame, limit);
    if (status == AMQP_STATUS_TIMEOUT) return 0;
    expect_status(status, "wait for a confirm");
    if (frame.frame_type != AMQP_FRAME_METHOD || frame.payload.method.id != AMQP_BASIC_ACK_METHOD)
        fail("confirm", "the broker said something else");
    amqp_basic_ack_t *ack = frame.payload.method.decoded;
    long tag = (long)ack->delivery_tag;
    for (long at = ack->multiple ? confirms->behind + 1 : tag; at <= tag; at++) {
        confirms->count += !confirms->known[at];
        confirms->known[at] = 1;
    }
    while (confirms->known[confirms->behind + 1]) confirms->behind++;
    return 1;
}

static amqp_connection_state_t publisher(const char *url, struct confirms *confirms, long count) {
    amqp_connection_state_t connection = opened(url);
    amqp_confirm_select(connection, CHANNEL);
    expect_reply(connection, "ask for confirms");
    confirms->known = calloc(count + 2, 1);
    confirms->behind = confirms->count = 0;
    return connection;
}

static amqp_connection_state_t consumer(const char *url, const char *queue) {
    amqp_connection_state_t connection = opened(url);
    amqp_basic_qos(connection, CHANNEL, 0, PREFETCH, 0);
    expect_reply(connection, "set the prefetch");
    amqp_basic_consume(connection, CHANNEL, amqp_cstring_bytes(queue), amqp_empty_bytes, 0, 0, 0, amqp_empty_table);
    expect_reply(connection, "consume");
    return connection;
}

static void take_delivery(amqp_connection_state_t connection, amqp_envelope_t *envelope) {
    struct timeval limit = {PATIENCE, 0};
    amqp_maybe_release_buffers(connection);
    amqp_rpc_reply_t reply = amqp_consume_message(connection, envelope, &limit, 0);
    if (reply.reply_type != AMQP_RESPONSE_NORMAL) fail("consume", amqp_error_string2(reply.library_error));
}

static void publish(const char *url, const char *exchange, const char *topic, long count) {
    struct confirms confirms;
    amqp_connection_state_t connection = publisher(url, &confirms, count);
    struct stopwatch watch = started();
    for (long sent = 0; confirms.count < count;) {
        while (sent < count && sent - confirms.count < WINDOW) publish_one(connection, exchange, topic, sent++);
        struct timeval limit = {PATIENCE, 0}, now = {0, 0};
        amqp_maybe_release_buffers(connection);
        if (!take_confirm(connection, &confirms, &limit)) fail("confirm", "none came");
        while (take_confirm(connection, &confirms, &now)) {
        }
    }
    tell(watch, count);
    free(confirms.known);
    closed(connection);
}

static void consume(const char *url, const char *queue, long count) {
    amqp_connection_state_t connection = consumer(url, queue);
    long skipped = count / WARM ? count / WARM : 1;
    struct stopwatch watch = started();
    for (long seen = 1; seen <= count; seen++) {
        amqp_envelope_t envelope;
        take_delivery(connection, &envelope);
        if (seen == skipped) watch = started();
        if (seen % ACKED == 0 || seen == count)
            expect_status(amqp_basic_ack(connection, CHANNEL, envelope.delivery_tag, 1), "ack");
        amqp_destroy_envelope(&envelope);
    }
    tell(watch, count - skipped);
    closed(connection);
}

static void delays(const char *url, const char *exchange, const char *topic, const char *queue, long count) {
    struct confirms confirms;
    amqp_connection_state_t out = publisher(url, &confirms, count), in = consumer(url, queue);
    double *found = calloc(count, sizeof *found);
    int64_t start = clock_ns(CLOCK_MONOTONIC);
    for (long number = 0; number < count; number++) {
        int64_t due = start + number * PACE;
        struct timespec until = {due / 1000000000, due % 1000000000};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
        amqp_envelope_t envelope;
        struct timeval now = {0, 0};
        int64_t begun = clock_ns(CLOCK_MONOTONIC);
        publish_one(out, exchange, topic, number);
        take_delivery(in, &envelope);
        found[number] = (clock_ns(CLOCK_MONOTONIC) - begun) / 1e3;
        expect_status(amqp_basic_ack(in, CHANNEL, envelope.delivery_tag, 0), "ack");
        amqp_destroy_envelope(&envelope);
        amqp_maybe_release_buffers(out);
        while (take_confirm(out, &confirms, &now)) {
        }
    }
    printf("{\"delays\":[");
    for (long number = 0; number < count; number++) printf("%s%.1f", number ? "," : "", found[number]);
    printf("]}\n");
    free(found);
    free(confirms.known);
    closed(in);
    closed(out);
}

int main(int argc, char **argv) {
    char line[1024], first[256], second[256], third[256];
    long count;
    if (argc != 2) return 64;
    setvbuf(stdout, NULL, _IOLBF, 1 << 16);
    memcpy(body, BEGIN, sizeof BEGIN - 1);
    for (size_t at = sizeof BEGIN - 1; at < BODY_SIZE; at++) body[at] = WORD[(at - sizeof BEGIN + 1) % (sizeof WORD - 1)];
    memcpy(body + BODY_SIZE - sizeof END + 1, END, sizeof END - 1);
    puts("\"ready\"");
    while (fgets(line, sizeof line, stdin)) {
        if (sscanf(line, "publish %255s %255s %ld", first, second, &count) == 3)
            publish(argv[1], first, second, count);
        else if (sscanf(line, "consume %255s %ld", first, &count) == 2)
            consume(argv[1], first, count);
        else if (sscanf(line, "delays %255s %255s %255s %ld", first, second, third, &count) == 4)
            delays(argv[1], first, second, third, count);
        else
            fail("verb", "unknown");
    }
    return 0;
}
