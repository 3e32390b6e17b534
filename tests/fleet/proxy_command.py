"""A ProxyCommand: it connects to the host and port that follow it, and relays what is sent."""

RELAY = """\
import os, socket, sys, threading
peer = socket.create_connection((sys.argv[1], int(sys.argv[2])))
def answers():
    while data := peer.recv(65536):
        os.write(1, data)
    os._exit(0)
threading.Thread(target=answers, daemon=True).start()
while data := os.read(0, 65536):
    peer.sendall(data)
"""
