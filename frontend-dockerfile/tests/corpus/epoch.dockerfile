#! build-arg SOURCE_DATE_EPOCH=1700000000
#! no-cache
FROM empty
WORKDIR /a
COPY b c
RUN d
