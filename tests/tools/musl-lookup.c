// Resolves each argument with the libc this is linked with: names to "NAME ADDRESS" lines, addresses to "ADDRESS NAME".
// Built with musl-gcc -static, it stands for the programs of Alpine images, whose resolver is not glibc's.
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

static int reverse(const char *text, const struct sockaddr *address, socklen_t size) {
    char name[NI_MAXHOST];
    int error = getnameinfo(address, size, name, sizeof name, NULL, 0, NI_NAMEREQD);
    if (error) {
        printf("%s: %s\n", text, gai_strerror(error));
        return 1;
    }
    printf("%s %s\n", text, name);
    return 0;
}

static int forward(const char *name) {
    struct addrinfo hints, *found;
    memset(&hints, 0, sizeof hints);
    hints.ai_socktype = SOCK_STREAM;
    int error = getaddrinfo(name, NULL, &hints, &found);
    if (error) {
        printf("%s: %s\n", name, gai_strerror(error));
        return 1;
    }
    for (struct addrinfo *each = found; each; each = each->ai_next) {
        char text[NI_MAXHOST];
        getnameinfo(each->ai_addr, each->ai_addrlen, text, sizeof text, NULL, 0, NI_NUMERICHOST);
        printf("%s %s\n", name, text);
    }
    freeaddrinfo(found);
    return 0;
}

int main(int count, char **arguments) {
    int failures = 0;
    for (int i = 1; i < count; i++) {
        struct sockaddr_in four = {.sin_family = AF_INET};
        struct sockaddr_in6 six = {.sin6_family = AF_INET6};
        if (inet_pton(AF_INET, arguments[i], &four.sin_addr) == 1)
            failures += reverse(arguments[i], (struct sockaddr *)&four, sizeof four);
        else if (inet_pton(AF_INET6, arguments[i], &six.sin6_addr) == 1)
            failures += reverse(arguments[i], (struct sockaddr *)&six, sizeof six);
        else
            failures += forward(arguments[i]);
    }
    return failures != 0;
}
