FROM alpine
COPY --exclude=*.[ch a b
