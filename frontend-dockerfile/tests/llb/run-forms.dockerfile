FROM busybox
RUN echo   "a  b" 'c' $HOME
RUN ["/bin/echo", "a b", "$HOME"]
RUN echo one \
    # comment
    two \

    three
RUN  ['broken json']
run lower
