/* Thousands of websocket clients in one cheap process, for `make bench-relay`; told on stdin what to do.
 *
 *   cc -O2 -o reader reader.c -lz
 *   reader [options] PORT      on the loopback interface
 *     -p PATH     to ask for; %d in it is the client's variant, 0 to VARIANTS - 1
 *     -x NAME     subprotocol to offer
 *     -f FRAME    text to send once open, %d as above
 *     -a TEXT     what must stand in a text frame before a client counts as open; without it, the upgrade is enough
 *     -v VARIANTS number of different subscriptions: client i has the (i % VARIANTS)-th
 *     -w PENDING  connections that are being opened at a time (40: accept queues hold no fewer)
 *     -d          offer permessage-deflate, without context so that each frame can be read alone
 *
 *   open N S      connect until there are N clients, for at most S seconds; says how long it took
 *   measure S     what comes in S seconds from now
 *   drain S       wait until nothing came for half a second, at most S
 *
 * Each answer is one line of JSON. End of input ends the process; its connections are reset, so that no port waits.
 *
 * An event is what follows the text `"n":`, a number that rises by VARIANTS from one of a client's events to its next,
 * and then `"t":`, the CLOCK_MONOTONIC nanoseconds at which it was made. A server that broadcasts sends the same frames
 * to many, so what a frame holds is worked out once and known again by its hash; that is why this costs so little. */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

enum { CONNECTING, UPGRADING, OPEN, GONE };
enum { NOTHING, OPENING, MEASURING, DRAINING };
enum {
    BUFFER = 1 << 20,    /* bytes read at a time, a frame's beginning from before included */
    FRAME_LIMIT = 1 << 19,
    KNOWN = 1 << 11,     /* frames known again; a power of two */
    IN_FRAME = 2048,     /* events of one frame */
    FINE = 1024,         /* microseconds counted one by one */
    STEPS = 512,         /* and so many steps for each doubling after that */
    BUCKETS = FINE + STEPS * 24,
};

typedef struct {
    int fd, state, acknowledged, variant;
    uint64_t next;       /* the event expected; 0 before the first */
    long events;         /* in this window */
    unsigned char *rest; /* of a frame that was not complete */
    size_t rest_size, rest_room;
} Client;

typedef struct {
    uint64_t hash;
    uint32_t size, count;
    uint64_t first, last;
    int in_order, has_answer;
    uint64_t made[IN_FRAME];
} Known;

static struct {
    long frames, bytes, events, gaps, repeats, wrong, fragments, broken;
    uint64_t newest;
} seen;

static Client *clients;
static Known *known;
static uint32_t latency[BUCKETS];
static unsigned char buffer[BUFFER], inflated[BUFFER];
static z_stream inflater;
static int poll_fd, port, variants = 1, pending_limit = 40, deflating;
static int made, opened, pending, refused, closed, deflated, target;
static const char *path = "/", *subprotocol, *greeting, *answer;
static char refusal[80];
static int doing;
static uint64_t begun, until, last_byte, cpu_begun;

static uint64_t clock_ns(clockid_t which) {
    struct timespec now;
    clock_gettime(which, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t now_ns(void) { return clock_ns(CLOCK_MONOTONIC); }

static unsigned bucket(uint64_t us) {
    if (us < FINE) return (unsigned)us;
    unsigned doubling = 63u - (unsigned)__builtin_clzll(us) - 10u;
    unsigned at = FINE + doubling * STEPS + ((us >> (doubling + 1)) & (STEPS - 1));
    return at < BUCKETS ? at : BUCKETS - 1;
}

static double bucket_ms(unsigned at) {
    if (at < FINE) return at / 1e3;
    unsigned doubling = (at - FINE) / STEPS, step = (at - FINE) % STEPS;
    return (double)((uint64_t)(STEPS + step) << (doubling + 1)) / 1e3;
}

static uint64_t hash_of(const unsigned char *data, size_t size, uint64_t seed) {
    uint64_t lanes[4] = {seed, ~seed, seed * 3, size}, word;
    const uint64_t factor = 0x9e3779b97f4a7c15u;
    size_t at = 0;
    for (; at + 32 <= size; at += 32)
        for (int lane = 0; lane < 4; lane++) {
            memcpy(&word, data + at + lane * 8, 8);
            lanes[lane] = (lanes[lane] ^ word) * factor;
            lanes[lane] ^= lanes[lane] >> 29;
        }
    for (; at < size; at++) lanes[0] = (lanes[0] ^ data[at]) * factor;
    for (int lane = 1; lane < 4; lane++) lanes[0] = (lanes[0] ^ lanes[lane] ^ (lanes[lane] >> 31)) * factor;
    return lanes[0] ^ (lanes[0] >> 32);
}

static uint64_t number_after(const unsigned char **at, const unsigned char *end) {
    const unsigned char *digit = *at;
    uint64_t value = 0;
    while (digit < end && *digit == ' ') digit++;
    while (digit < end && *digit >= '0' && *digit <= '9') value = value * 10 + (*digit++ - '0');
    *at = digit;
    return value;
}

static void understand(Known *frame, const unsigned char *data, size_t size) {
    const unsigned char *at = data, *end = data + size;
    frame->count = 0;
    frame->in_order = 1;
    frame->has_answer = answer && memmem(data, size, answer, strlen(answer));
    while ((at = memmem(at, (size_t)(end - at), "\"n\":", 4))) {
        at += 4;
        uint64_t number = number_after(&at, end);
        const unsigned char *stamp = memmem(at, (size_t)(end - at), "\"t\":", 4);
        if (!stamp || frame->count == IN_FRAME) {
            seen.broken++;
            return;
        }
        at = stamp + 4;
        if (frame->count == 0) frame->first = number;
        else if (number != frame->last + (uint64_t)variants) frame->in_order = 0;
        frame->last = number;
        frame->made[frame->count++] = number_after(&at, end);
    }
}

static Known *look_up(const unsigned char *data, size_t size, int compressed) {
    uint64_t hash = hash_of(data, size, compressed ? 7 : 1);
    Known *frame = &known[hash & (KNOWN - 1)];
    if (frame->hash == hash && frame->size == size) return frame;
    const unsigned char *text = data;
    size_t text_size = size;
    if (compressed) {
        inflateReset(&inflater);
        inflater.next_in = (unsigned char *)data;
        inflater.avail_in = (unsigned)size;
        inflater.next_out = inflated;
        inflater.avail_out = sizeof inflated;
        int status = inflate(&inflater, Z_SYNC_FLUSH);
        if (status == Z_OK || status == Z_BUF_ERROR) { /* the four bytes that the sender left out */
            inflater.next_in = (unsigned char *)"\0\0\xff\xff";
            inflater.avail_in = 4;
            status = inflate(&inflater, Z_SYNC_FLUSH);
        }
        if (status != Z_OK && status != Z_BUF_ERROR && status != Z_STREAM_END) seen.broken++;
        text = inflated;
        text_size = sizeof inflated - inflater.avail_out;
    }
    understand(frame, text, text_size);
    frame->hash = hash;
    frame->size = (uint32_t)size;
    return frame;
}

static void opened_one(Client *client) {
    (void)client;
    pending--;
    opened++;
}

static void lose(Client *client, const char *why) {
    if (client->state == GONE) return;
    if (client->state != OPEN || (answer && !client->acknowledged)) {
        pending--;
        refused++;
        if (!*refusal) snprintf(refusal, sizeof refusal, "%s", why);
    } else closed++;
    client->state = GONE;
    close(client->fd);
}

static void count(Client *client, const Known *frame, uint64_t now) {
    if (frame->has_answer && !client->acknowledged) {
        client->acknowledged = 1;
        opened_one(client);
    }
    if (!frame->count) return;
    if (frame->first % (uint64_t)variants != (uint64_t)client->variant || !frame->in_order) seen.wrong++;
    if (client->next && frame->first > client->next)
        seen.gaps += (long)((frame->first - client->next) / (uint64_t)variants);
    else if (frame->first < client->next) seen.repeats++;
    if (frame->last >= client->next) client->next = frame->last + (uint64_t)variants;
    if (frame->last > seen.newest) seen.newest = frame->last;
    client->events += frame->count;
    seen.events += frame->count;
    for (uint32_t at = 0; at < frame->count; at++)
        latency[bucket(now > frame->made[at] ? (now - frame->made[at]) / 1000 : 0)]++;
}

static void pong(Client *client, const unsigned char *data, size_t size) {
    unsigned char frame[6 + 125] = {0x8a, (unsigned char)(0x80 | size)};
    memcpy(frame + 6, data, size);
    if (send(client->fd, frame, 6 + size, MSG_NOSIGNAL) < 0) lose(client, "no room for a pong");
}

/* What whole frames there are, from `data` on; returns the bytes they took. */
static size_t frames_in(Client *client, const unsigned char *data, size_t size, uint64_t now) {
    size_t at = 0;
    while (client->state == OPEN && size - at >= 2) {
        const unsigned char *head = data + at;
        size_t length = head[1] & 127, head_size = length < 126 ? 2 : length == 126 ? 4 : 10;
        if (size - at < head_size) break;
        if (length > 125) {
            length = 0;
            for (size_t place = 2; place < head_size; place++) length = length << 8 | head[place];
        }
        if (length > FRAME_LIMIT) {
            seen.broken++;
            lose(client, "a frame is too long for this reader");
            break;
        }
        if (size - at < head_size + length) break;
        const unsigned char *payload = head + head_size;
        int kind = head[0] & 15;
        if (kind == 8) lose(client, "closed by the server");
        else if (kind == 9) pong(client, payload, length < 126 ? length : 125);
        else if (kind < 3) {
            if (kind == 0 || !(head[0] & 0x80)) seen.fragments++;
            seen.frames++;
            if (length) count(client, look_up(payload, length, (head[0] & 0x40) != 0), now);
        }
        at += head_size + length;
    }
    return at;
}

static void greet(Client *client) {
    char text[2048];
    unsigned char frame[8 + sizeof text];
    int size = snprintf(text, sizeof text, greeting, client->variant), head = 2;
    frame[0] = 0x81;
    if (size < 126) frame[1] = (unsigned char)(0x80 | size);
    else {
        frame[1] = 0x80 | 126;
        frame[2] = (unsigned char)(size >> 8);
        frame[3] = (unsigned char)size;
        head = 4;
    }
    memset(frame + head, 0, 4); /* a mask of zeros leaves the text as it is */
    memcpy(frame + head + 4, text, (size_t)size);
    if (send(client->fd, frame, (size_t)(head + 4 + size), MSG_NOSIGNAL) < 0) lose(client, "no room for a frame");
}

/* The end of the upgrade's answer, if it is there; returns the bytes it took. */
static size_t upgrade_in(Client *client, unsigned char *data, size_t size) {
    const unsigned char *end = memmem(data, size, "\r\n\r\n", 4);
    if (!end) return 0;
    size_t taken = (size_t)(end - data) + 4;
    if (size < 12 || memcmp(data, "HTTP/1.1 101", 12)) {
        data[size < 60 ? size - 1 : 59] = 0;
        data[strcspn((char *)data, "\r")] = 0;
        lose(client, (char *)data);
        return taken;
    }
    deflated += memmem(data, taken, "permessage-deflate", 18) != NULL;
    client->state = OPEN;
    if (greeting) greet(client);
    if (client->state == OPEN && !answer) opened_one(client);
    return taken;
}

static void keep(Client *client, const unsigned char *data, size_t size) {
    if (size > client->rest_room) {
        client->rest_room = size + 4096;
        client->rest = realloc(client->rest, client->rest_room);
        if (!client->rest) abort();
    }
    memcpy(client->rest, data, size);
    client->rest_size = size;
}

static void readable(Client *client) {
    size_t size = client->rest_size, taken = 0;
    if (size) memcpy(buffer, client->rest, size);
    ssize_t got = recv(client->fd, buffer + size, sizeof buffer - size, MSG_DONTWAIT);
    if (got <= 0) {
        if (got == 0 || errno != EAGAIN) lose(client, got ? strerror(errno) : "closed by the server");
        return;
    }
    uint64_t now = now_ns();
    last_byte = now;
    seen.bytes += got;
    size += (size_t)got;
    if (client->state == UPGRADING) taken = upgrade_in(client, buffer, size);
    if (client->state == OPEN) taken += frames_in(client, buffer + taken, size - taken, now);
    keep(client, buffer + taken, size - taken);
}

static void ask(Client *client) {
    char target_path[256], request[1024];
    snprintf(target_path, sizeof target_path, path, client->variant);
    int size = snprintf(request, sizeof request,
        "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s%s%s%s\r\n",
        target_path, port, subprotocol ? "Sec-WebSocket-Protocol: " : "", subprotocol ? subprotocol : "",
        subprotocol ? "\r\n" : "",
        deflating ? "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; "
                    "client_no_context_takeover\r\n" : "");
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
    epoll_ctl(poll_fd, EPOLL_CTL_MOD, client->fd, &event);
    client->state = UPGRADING;
    if (send(client->fd, request, (size_t)size, MSG_NOSIGNAL) < 0) lose(client, strerror(errno));
}

static void begin_one(void) {
    Client *client = &clients[made];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    client->variant = made++ % variants;
    client->state = CONNECTING;
    pending++;
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (client->fd < 0) {
        lose(client, strerror(errno));
        return;
    }
    setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = client};
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, client->fd, &event);
    if (connect(client->fd, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS)
        lose(client, strerror(errno));
}

static void measured(uint64_t now) {
    long least = -1, most = 0;
    uint64_t all = 0, sum = 0;
    unsigned at, last = 0;
    double p50 = -1, p99 = -1;
    for (int i = 0; i < made; i++) {
        if (clients[i].state != OPEN) continue;
        if (least < 0 || clients[i].events < least) least = clients[i].events;
        if (clients[i].events > most) most = clients[i].events;
    }
    for (at = 0; at < BUCKETS; at++) all += latency[at];
    for (at = 0; at < BUCKETS; at++) {
        if (!latency[at]) continue;
        sum += latency[at];
        last = at;
        if (p50 < 0 && sum * 2 >= all) p50 = bucket_ms(at);
        if (p99 < 0 && sum * 100 >= all * 99) p99 = bucket_ms(at);
    }
    printf("{\"seconds\":%.4f,\"clients\":%d,\"frames\":%ld,\"bytes\":%ld,\"events\":%ld,\"least\":%ld,\"most\":%ld,"
           "\"p50\":%.3f,\"p99\":%.3f,\"max\":%.3f,\"gaps\":%ld,\"repeats\":%ld,\"wrong\":%ld,\"fragments\":%ld,"
           "\"broken\":%ld,\"closed\":%d,\"newest\":%llu,\"cpu\":%.4f}\n",
           (double)(now - begun) / 1e9, opened - closed, seen.frames, seen.bytes, seen.events, least, most, p50, p99,
           all ? bucket_ms(last) : -1.0, seen.gaps, seen.repeats, seen.wrong, seen.fragments, seen.broken, closed,
           (unsigned long long)seen.newest,
           (double)(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_begun) / (double)(now - begun));
}

static void begin(int what, double seconds) {
    doing = what;
    begun = last_byte = now_ns();
    until = begun + (uint64_t)(seconds * 1e9);
    cpu_begun = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    if (what != MEASURING) return;
    uint64_t newest = seen.newest;
    memset(&seen, 0, sizeof seen);
    memset(latency, 0, sizeof latency);
    seen.newest = newest;
    for (int i = 0; i < made; i++) clients[i].events = 0;
}

/* Say it where what was asked for is done. */
static void look(void) {
    uint64_t now = now_ns();
    if (doing == OPENING) {
        while (made < target && pending < pending_limit) begin_one();
        if ((made < target || pending > 0) && now < until) return;
        printf("{\"seconds\":%.4f,\"clients\":%d,\"refused\":%d,\"deflated\":%d,\"why\":\"%s\",\"mute\":%d}\n",
               (double)(now - begun) / 1e9, opened - closed, refused, deflated, refusal, pending);
    } else if (doing == MEASURING) {
        if (now < until) return;
        measured(now);
    } else if (doing == DRAINING) {
        int quiet = now - last_byte > 500000000u;
        if (!quiet && now < until) return;
        printf("{\"quiet\":%s}\n", quiet ? "true" : "false");
        for (int i = 0; i < made; i++) clients[i].next = 0; /* a new run of events may begin with any number */
    } else return;
    fflush(stdout);
    doing = NOTHING;
}

static int told(void) {
    static char line[128];
    double value, limit;
    if (!fgets(line, sizeof line, stdin)) return 0;
    if (sscanf(line, "open %lf %lf", &value, &limit) == 2) {
        target = (int)value;
        clients = clients ? clients : calloc(65536, sizeof *clients);
        if (!clients || target > 65536) exit(2);
        begin(OPENING, limit);
    } else if (sscanf(line, "measure %lf", &value) == 1) begin(MEASURING, value);
    else if (sscanf(line, "drain %lf", &value) == 1) begin(DRAINING, value);
    else fprintf(stderr, "not understood: %s", line);
    return 1;
}

int main(int argc, char **argv) {
    int option;
    while ((option = getopt(argc, argv, "p:x:f:a:v:w:d")) != -1) switch (option) {
        case 'p': path = optarg; break;
        case 'x': subprotocol = optarg; break;
        case 'f': greeting = optarg; break;
        case 'a': answer = optarg; break;
        case 'v': variants = atoi(optarg); break;
        case 'w': pending_limit = atoi(optarg); break;
        case 'd': deflating = 1; break;
        default: return 2;
    }
    if (argc - optind != 1 || variants < 1) {
        fprintf(stderr, "usage: see the head of reader.c\n");
        return 2;
    }
    port = atoi(argv[optind]);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    known = calloc(KNOWN, sizeof *known);
    if (!known || inflateInit2(&inflater, -15) != Z_OK) return 1;
    poll_fd = epoll_create1(0);
    struct epoll_event input = {.events = EPOLLIN, .data.ptr = NULL}, events[512];
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, 0, &input);
    setvbuf(stdin, NULL, _IONBF, 0); /* a line that is buffered would not be polled for */
    for (;;) {
        int ready = epoll_wait(poll_fd, events, 512, doing == NOTHING ? -1 : 10);
        for (int i = 0; i < ready; i++) {
            Client *client = events[i].data.ptr;
            if (!client) {
                if (!told()) return 0;
            } else if (client->state == CONNECTING) {
                int error = 0;
                socklen_t size = sizeof error;
                getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &error, &size);
                if (error) lose(client, strerror(error));
                else ask(client);
            } else if (client->state != GONE) readable(client);
        }
        look();
    }
}
