/* Sends every datagram back to where it came from: udp-echo PORT */
#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/socket.h>

int main(int argc, char **argv)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(argc > 1 ? atoi(argv[1]) : 7)};
    int socket_fd = socket(AF_INET, SOCK_DGRAM, 0);
    char text[2048];

    if (socket_fd < 0 || bind(socket_fd, (struct sockaddr *)&here, sizeof here) < 0)
        return 1;
    for (;;) {
        struct sockaddr_in from;
        socklen_t length = sizeof from;
        ssize_t got = recvfrom(socket_fd, text, sizeof text, 0, (struct sockaddr *)&from, &length);
        if (got >= 0)
            sendto(socket_fd, text, got, 0, (struct sockaddr *)&from, length);
    }
}
