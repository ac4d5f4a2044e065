FROM alpine
COPY
COPY app
ADD ["app"]
COPY []
