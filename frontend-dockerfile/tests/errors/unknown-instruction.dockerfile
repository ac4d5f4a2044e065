FROM alpine
RUNN make
WORKDRI /src
INCLUDE common
