FROM alpine
RUN --security=insecur true
RUN --security=root true
