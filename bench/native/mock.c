// A vendor faster than anything in front of it: mock PORT PICTURE.json
//
// The last part of the model's name says what to answer:
//   fast             a completion of 600 bytes
//   slow-MS          the same after MS milliseconds
//   stream-NxMS      N chunks, MS apart; each tells when it left as @T<nanoseconds>@
//                    and is sent by itself, so that whoever is quick gets it alone
// POST .../images/generations answers PICTURE.json. .../tasks are videos that never end.
#include "common.h"

typedef struct {
    int fd, chunks, pause_ms, serial, waiting;
    int64_t due;  // of the next chunk or the answer; 0: none
    buffer in, out;
} client;

typedef struct {
    int64_t due;
    client *who;
    int serial;  // a timer of a connection that has gone means nothing
} timer;

static int poller;
static timer *heap;
static size_t timers, heap_room;
static buffer picture;

static void later(client *c, int64_t due) {
    if (timers == heap_room) heap = realloc(heap, (heap_room = 2 * heap_room + 64) * sizeof *heap);
    size_t at = timers++;
    for (; at && heap[(at - 1) / 2].due > due; at = (at - 1) / 2) heap[at] = heap[(at - 1) / 2];
    heap[at] = (timer){due, c, c->serial};
    c->due = due;
}

static timer soonest(void) {
    timer first = heap[0], last = heap[--timers];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < timers; at = child) {
        if (child + 1 < timers && heap[child + 1].due < heap[child].due) child++;
        if (heap[child].due >= last.due) break;
        heap[at] = heap[child];
    }
    heap[at] = last;
    return first;
}

// Connections are reused, so that a timer may always look at the one it was made for.
static client **spare;
static size_t spares, spare_room;

static client *join(int fd) {
    client *c = spares ? spare[--spares] : calloc(1, sizeof *c);
    c->fd = fd;
    c->due = c->chunks = c->waiting = 0;
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_ADD, fd, &e);
    return c;
}

static void leave(client *c) {
    close(c->fd);
    c->serial++;
    release(&c->in);
    release(&c->out);
    if (spares == spare_room) spare = realloc(spare, (spare_room = 2 * spare_room + 64) * sizeof *spare);
    spare[spares++] = c;
}

static int flush(client *c) {
    while (held(&c->out)) {
        ssize_t n = send(c->fd, c->out.data + c->out.start, held(&c->out), MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN) return -1;
        if (n < 0) break;
        c->out.start += n;
    }
    if (c->waiting == !!held(&c->out)) return 0;
    c->waiting = !c->waiting;
    struct epoll_event e = {.events = EPOLLIN | (c->waiting ? EPOLLOUT : 0), .data.ptr = c};
    return epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &e);
}

static void json(client *c, const char *body, size_t size) {
    char head[160];
    int n = sprintf(head, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n", size);
    append(&c->out, head, n);
    append(&c->out, body, size);
}

static void completion(client *c) {
    static char body[1024];
    static int size;
    if (!size)
        size = sprintf(body, "{\"id\":\"chatcmpl-mock\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"mock\","
            "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"%.390s\"},\"finish_reason\":\"stop\"}],"
            "\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":80,\"total_tokens\":89}}",
            "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt ut labore et "
            "dolore magna aliqua. Ut enim ad minim veniam, quis nostrud exercitation ullamco laboris nisi ut aliquip "
            "ex ea commodo consequat. Duis aute irure dolor in reprehenderit in voluptate velit esse cillum dolore "
            "eu fugiat nulla pariatur. Excepteur sint occaecat cupidatat non proident, sunt in culpa.");
    json(c, body, size);
}

static void event(client *c, const char *data) {
    char line[512];
    int n = snprintf(line, sizeof line, "data: %s\n\n", data), at = 0;
    char framed[560];
    at = sprintf(framed, "%x\r\n%s\r\n", n, line);
    append(&c->out, framed, at);
}

#define CHUNK "{\"id\":\"chatcmpl-mock\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"mock\","

static void chunk(client *c) {
    char text[400];
    sprintf(text, CHUNK "\"choices\":[{\"index\":0,\"delta\":{\"content\":\"word @T%lld@ \"},\"finish_reason\":null}]}",
            (long long)now_ns());
    event(c, text);
    if (--c->chunks) return;
    event(c, CHUNK "\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}");
    event(c, CHUNK "\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":50,\"total_tokens\":59}}");
    event(c, "[DONE]");
    append(&c->out, "0\r\n\r\n", 5);
}

static void stream(client *c, const char *plan) {
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    sscanf(plan, "%dx%d", &c->chunks, &c->pause_ms);
    append(&c->out, head, sizeof head - 1);
    chunk(c);
    if (c->chunks) later(c, now_ns() + c->pause_ms * 1000000LL);
}

// The model that a body names, from the last slash on; bodies may be megabytes.
static const char *model_of(const char *body, size_t size) {
    static char name[64];
    const char *at = memmem(body, size < 4096 ? size : 4096, "\"model\"", 7);
    if (!at && size > 4096) at = memmem(body + size - 4096, 4096, "\"model\"", 7);
    if (!at || !(at = memchr(at + 7, '"', 16))) return "fast";
    size_t n = 0;
    for (at++; *at != '"' && n < sizeof name - 1; at++)
        if (*at == '/') n = 0;
        else name[n++] = *at;
    name[n] = 0;
    return name;
}

static void answer(client *c, const char *head, const char *body, size_t size) {
    const char *line = memchr(head, '\n', 4096);
    if (memmem(head, line - head, "/tasks", 6)) {
        static const char task[] = "{\"id\":\"cgt-mock\",\"model\":\"mock\",\"status\":\"running\",\"created_at\":1,\"updated_at\":1}";
        return json(c, task, sizeof task - 1);
    }
    if (memmem(head, line - head, "/images/", 8)) return json(c, picture.data, held(&picture));
    const char *model = model_of(body, size);
    if (!strncmp(model, "stream-", 7)) return stream(c, model + 7);
    if (!strncmp(model, "slow-", 5)) return later(c, now_ns() + atol(model + 5) * 1000000LL);
    completion(c);
}

static int readable(client *c) {
    ssize_t n = recv(c->fd, reserve(&c->in, 262144), 262144, 0);
    if (n <= 0) return n < 0 && errno == EAGAIN ? 0 : -1;
    c->in.end += n;
    while (held(&c->in)) {
        char *head = c->in.data + c->in.start, *end = memmem(head, held(&c->in), "\r\n\r\n", 4);
        if (!end) break;
        size_t head_size = end + 4 - head;
        long length = content_length(head, head_size);
        if (length < 0) length = 0;
        if (held(&c->in) < head_size + length) break;
        answer(c, head, end + 4, length);
        c->in.start += head_size + length;
    }
    return flush(c);
}

// Each chunk is sent by itself, as vendors do; without a pause all streams take turns.
static void ring(void) {
    int64_t now = now_ns();
    while (timers && heap[0].due <= now) {
        timer t = soonest();
        client *c = t.who;
        if (c->serial != t.serial || c->due != t.due) continue;
        c->due = 0;
        if (c->chunks && held(&c->out)) {  // its reader is slow
            later(c, now_ns() + 1000000);
        } else if (c->chunks) {
            chunk(c);
            if (c->chunks) later(c, c->pause_ms ? t.due + c->pause_ms * 1000000LL : now_ns());
        } else
            completion(c);
        if (flush(c)) leave(c);
    }
}

int main(int argc, char **argv) {
    if (argc < 3) return fputs("mock PORT PICTURE.json\n", stderr), 2;
    many_files();
    FILE *file = fopen(argv[2], "rb");
    if (!file) die(argv[2]);
    for (size_t n; (n = fread(reserve(&picture, 65536), 1, 65536, file));) picture.end += n;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listener, (void *)&address, sizeof address) || listen(listener, 4096)) die("bind");
    poller = epoll_create1(0);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL}, ready[256];
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &e);
    for (;;) {
        int64_t wait = timers ? (heap[0].due - now_ns() + 999999) / 1000000 : -1;
        int n = epoll_wait(poller, ready, 256, timers && wait < 0 ? 0 : wait);
        for (int i = 0; i < n; i++) {
            client *c = ready[i].data.ptr;
            if (!c) {
                for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;) at_once(fd), join(fd);
            } else if ((ready[i].events & EPOLLIN ? readable(c) : flush(c)) || ready[i].events & (EPOLLERR | EPOLLHUP))
                leave(c);
        }
        ring();
    }
}
