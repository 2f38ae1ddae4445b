"""What Doorward itself answers over HTTP: the authority for agents, the admin socket for operators; knows no relaying."""
