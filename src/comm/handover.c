/* SPDX-License-Identifier: BSD-3-Clause */
/* Files through a socket. */
#include "comm/handover.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { PATIENCE_S = 10 };

typedef union control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
} control;

bool dt_handover_draw(unsigned char token[DT_HANDOVER_TOKEN]) {
    return getrandom(token, DT_HANDOVER_TOKEN, 0) == DT_HANDOVER_TOKEN;
}

/* A name without a file, which goes with its socket; it begins with a zero byte. */
static socklen_t address_of(const unsigned char token[DT_HANDOVER_TOKEN], struct sockaddr_un *address) {
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    size_t used = (size_t)snprintf(address->sun_path + 1, sizeof address->sun_path - 1, "dtrain-");
    for (int i = 0; i < DT_HANDOVER_TOKEN; i++)
        used += (size_t)snprintf(address->sun_path + 1 + used, 3, "%02x", token[i]);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + used);
}

int dt_handover_listen(const unsigned char token[DT_HANDOVER_TOKEN]) {
    struct sockaddr_un address;
    socklen_t length = address_of(token, &address);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener >= 0 &&
        (bind(listener, (struct sockaddr *)&address, length) != 0 || listen(listener, SOMAXCONN) != 0)) {
        int failure = errno;
        close(listener);
        errno = failure;
        return -1;
    }
    return listener;
}

static bool is_of_this_user(int peer) {
    struct ucred facts;
    socklen_t length = sizeof facts;
    return getsockopt(peer, SOL_SOCKET, SO_PEERCRED, &facts, &length) == 0 && facts.uid == geteuid();
}

static bool send_file(int peer, int file) {
    control room = {.bytes = {0}};
    char word = 0;
    struct iovec piece = {&word, 1};
    struct msghdr message = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = room.bytes, .msg_controllen = sizeof room.bytes};
    room.header.cmsg_level = SOL_SOCKET;
    room.header.cmsg_type = SCM_RIGHTS;
    room.header.cmsg_len = CMSG_LEN(sizeof file);
    memcpy(CMSG_DATA(&room.header), &file, sizeof file);
    return sendmsg(peer, &message, MSG_NOSIGNAL) == 1;
}

bool dt_handover_give(int listener, int file, int takers) {
    while (takers > 0) {
        struct pollfd wait = {.fd = listener, .events = POLLIN};
        int ready = poll(&wait, 1, PATIENCE_S * 1000);
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready == 0)
            errno = ETIMEDOUT;
        int peer = ready > 0 ? accept4(listener, NULL, NULL, SOCK_CLOEXEC) : -1;
        if (peer < 0)
            return false;
        bool given = is_of_this_user(peer) && send_file(peer, file);
        takers -= given;
        close(peer);
    }
    return true;
}

static int receive_file(int peer) {
    control room = {.bytes = {0}};
    char word;
    int file = -1;
    struct iovec piece = {&word, 1};
    struct msghdr message = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = room.bytes, .msg_controllen = sizeof room.bytes};
    ssize_t got;
    do
        got = recvmsg(peer, &message, MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got == 0)
        errno = EACCES;
    const struct cmsghdr *header = got == 1 ? CMSG_FIRSTHDR(&message) : NULL;
    if (header && header->cmsg_type == SCM_RIGHTS && header->cmsg_len == CMSG_LEN(sizeof file))
        memcpy(&file, CMSG_DATA(header), sizeof file);
    return file;
}

int dt_handover_take(const unsigned char token[DT_HANDOVER_TOKEN]) {
    struct sockaddr_un address;
    socklen_t length = address_of(token, &address);
    struct timeval patience = {.tv_sec = PATIENCE_S};
    int file = -1, peer = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (peer < 0)
        return -1;
    if (setsockopt(peer, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0 &&
        connect(peer, (struct sockaddr *)&address, length) == 0)
        file = receive_file(peer);
    int failure = errno;
    close(peer);
    errno = failure;
    return file;
}
