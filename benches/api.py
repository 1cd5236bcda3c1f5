"""A connection to an API server that tests/controlplane/start has started."""

import http.client
import json
import re
import ssl


class Api:
    """One HTTPS connection, by the kubeconfig in the control plane's directory."""

    def __init__(self, directory):
        with open(f"{directory}/kubeconfig") as file:
            text = file.read()
        self.headers = {"Authorization": f"Bearer {re.search('token: ([^}]+)', text)[1].strip()}"}
        host, port = re.search('server: "https://([^:]+):([0-9]+)"', text).groups()
        authority = re.search("certificate-authority: ([^}]+)", text)[1].strip()
        context = ssl.create_default_context(cafile=authority)
        self.connection = http.client.HTTPSConnection(host, int(port), context=context)

    def request(self, method, path, body=None, kind="application/json"):
        """Sends one request. Returns the status and the answer's body, which is text where it is no JSON."""
        headers = self.headers | ({"Content-Type": kind} if body is not None else {})
        self.connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = self.connection.getresponse()
        text = response.read()
        try:
            return response.status, json.loads(text)
        except ValueError:
            return response.status, text.decode(errors="replace")


def collection(item):
    """The path of the collection that an object of the benchmark's cluster is created in."""
    namespace = item["metadata"].get("namespace")
    kind = {"Namespace": "namespaces", "Service": "services", "EndpointSlice": "endpointslices", "Pod": "pods"}[item["kind"]]
    group = "/apis/discovery.k8s.io/v1" if item["kind"] == "EndpointSlice" else "/api/v1"
    return f"{group}/namespaces/{namespace}/{kind}" if namespace else f"{group}/{kind}"
