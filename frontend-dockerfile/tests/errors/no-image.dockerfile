FROM alpine:3.99
