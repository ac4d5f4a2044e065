FROM busybox
COPY a /a
COPY a b dir/ /dst/
COPY . .
COPY ./x/../y /z
COPY ../up /up
COPY *.txt d?r/ /w/
COPY ["with space", "/to here/"]
