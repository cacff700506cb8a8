"""The lab's name server and policy hosts: what is true, and what is forged.

Owners change the truth at any time; an attacker lays something over it, and
`heal` takes that away again.
"""

import copy
import time

from harness import dns as dnsmod, policyhost


MOVED = "/moved/mta-sts.txt"


def _key(name):
    return name.rstrip(".").lower()


class Dns(dnsmod.DnsServer):
    """Answers like a validating resolver. What is forged in a signed zone is
    bogus, so such a resolver answers SERVFAIL."""

    def __init__(self, *args, **kw):
        self.truth = {}
        self.forged = {}
        self.cleared = set()
        self.unsigned = set()
        self.touched = set()  # names whose answers are other than before
        super().__init__(*args, **kw)

    def set(self, name, qtype, *values):
        with self._lock:
            self.truth.setdefault(_key(name), {})[qtype] = list(values)
            self._remake(_key(name))

    def add(self, name, qtype, value):
        self.set(name, qtype, *self.records(name, qtype), value)

    def records(self, name, qtype):
        return list(self.truth.get(_key(name), {}).get(qtype, ()))

    def aliases(self, name):
        """The names whose owners say that they are this one."""
        return [n for n, types in list(self.truth.items())
                if _key(name) in map(_key, types.get("CNAME", ()))]

    def remove(self, name, qtype=None):
        with self._lock:
            if qtype is None:
                self.truth.pop(_key(name), None)
            else:
                self.truth.get(_key(name), {}).pop(qtype, None)
            self._remake(_key(name))

    def _remake(self, key):
        """What is answered for a name: the truth under what is forged."""
        self.touched.add(key)
        types = dict(self.truth.get(key, {}))
        for qtype, values in self.forged.get(key, {}).items():
            types.pop(qtype, None)
            if values:
                types[qtype] = values
        if types:
            self.zone[key] = types
        else:
            self.zone.pop(key, None)

    def unsign(self, name):
        """Answers at and below a name are not signed, whatever is above."""
        self.signed.discard(_key(name))
        self.unsigned.add(_key(name))

    def sign(self, suffix):
        self.unsigned.discard(_key(suffix))
        super().sign(suffix)

    def _is_signed(self, name):
        if name == "":       # the root zone, which resolvers are probed with
            return True
        if name in self.cleared:
            return False
        labels = name.split(".")
        for i in range(len(labels)):
            at = ".".join(labels[i:])
            if at in self.signed or at in self.unsigned:
                return at in self.signed
        return False

    # attacks

    def forge(self, name, qtype, values):
        """An attacker answers in the owner's place; [] is `no such`."""
        key = _key(name)
        if self._is_signed(key):
            self.fault(key, "bogus", qtype)
            return
        with self._lock:
            self.forged.setdefault(key, {})[qtype] = list(values)
            self._remake(key)

    def fault(self, name, kind, qtype=None):
        self.touched.add(_key(name))
        super().fault(name, kind, qtype)

    def clear_ad(self, name):
        self.touched.add(_key(name))
        self.cleared.add(_key(name))

    def outwait(self, most):
        """Wait till nobody can have an old answer of what was changed, if
        answers are kept for so many seconds at most. False: no need."""
        names, self.touched = self.touched, set()
        last = max((q.when for q in list(self.queries) if q.name in names),
                   default=0)
        wait = min(most, last + most - time.time())
        if wait > 0:
            time.sleep(wait)
        return wait > 0

    def heal(self, name=None):
        with self._lock:
            self.touched |= {key for key, _ in self.faults}
        super().heal(name)
        keys = list(self.forged) if name is None else [_key(name)]
        with self._lock:
            for key in keys:
                self.forged.pop(key, None)
                self._remake(key)
        self.cleared -= set(self.cleared if name is None else keys)


class Https(policyhost.PolicyHost):
    """Policy hosts; `sites` is what answers, `truth` what the owners want."""

    def __init__(self, lab, *args, **kw):
        self.lab = lab
        self.truth = {}
        super().__init__(lab.authority.ca, *args, **kw)

    def own(self, domain):
        """The owner's site, made when it is not there yet."""
        host = "mta-sts." + domain
        if host not in self.truth:
            cert = self.lab.authority.make("good", (host,))
            self.truth[host] = self.sites[host] = policyhost.Site(None, cert)
        return self.truth[host]

    def forged(self, domain):
        """The site as the attacker has it, to be changed."""
        host = "mta-sts." + domain
        if self.sites.get(host) in (None, self.truth.get(host)):
            self.sites[host] = copy.copy(self.own(domain))
        return self.sites[host]

    def heal(self, domain=None):
        self.unblock()
        hosts = self.truth if domain is None else ["mta-sts." + domain]
        for host in hosts:
            if host in self.truth:
                self.sites[host] = self.truth[host]

    def _reply(self, tls, site, path):
        """A site without a policy answers 404; what was redirected is at
        MOVED."""
        if site is not None and site.text is None:
            site = None
        if site is not None and site.status == 301 and path == MOVED:
            site, path = copy.copy(site), policyhost.WELL_KNOWN
            site.status, site.headers = 200, {}
        super()._reply(tls, site, path)
