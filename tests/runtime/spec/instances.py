"""One workflow in each version of WfCommons' format: split (0.5 s at 2 GHz, 1 MB) -> left, right -> join."""

V13 = """{
  "name": "halves",
  "schemaVersion": "1.3",
  "workflow": {
    "makespan": 9,
    "machines": [{"nodeName": "big", "memory": 8000000, "cpu": {"count": 8, "speed": 2000}}],
    "tasks": [
      {"name": "split", "id": "ID1", "type": "compute", "runtime": 0.5, "memory": 1000, "machine": "big",
       "parents": [], "children": ["left", "right"],
       "files": [{"name": "in", "size": 9, "link": "input"},
                 {"name": "l", "size": 100, "link": "output"}, {"name": "r", "size": 200, "link": "output"}]},
      {"name": "left", "id": "ID2", "runtime": 2, "parents": ["split"], "machine": "other",
       "files": [{"name": "l", "size": 100, "link": "input"}, {"name": "lo", "size": 1, "link": "output"}]},
      {"name": "right", "id": "ID3", "runtime": 3, "parents": ["split"],
       "files": [{"name": "r", "size": 200, "link": "input"}, {"name": "ro", "size": 2, "link": "output"}]},
      {"name": "join", "id": "ID4", "runtime": 1, "parents": ["left", "right"],
       "files": [{"name": "lo", "size": 1, "link": "input"}]}
    ]
  }
}
"""
V12 = V13.replace('"1.3"', '"1.2"').replace('"name": "split", "id": "ID1"', '"name": "ID1"')
for _old, _new in (("left", "ID2"), ("right", "ID3"), ("join", "ID4"), ("split", "ID1")):
    V12 = V12.replace(f'"name": "{_old}", "id": "{_new}"', f'"name": "{_new}"').replace(
        f'"{_old}"', f'"{_new}"'
    )
V14 = V13.replace('"1.3"', '"1.4"').replace('"runtime"', '"runtimeInSeconds"')
for _kb in (9, 100, 200, 1, 2):
    V14 = V14.replace(f'"size": {_kb},', f'"sizeInBytes": {_kb}000,')
V14 = V14.replace('"memory": 1000,', '"memoryInBytes": 1000000,')
V15 = """{
  "name": "halves",
  "schemaVersion": "1.5",
  "workflow": {
    "specification": {
      "tasks": [
        {"name": "split", "id": "ID1", "parents": [], "children": ["ID2", "ID3"],
         "inputFiles": ["in"], "outputFiles": ["l", "r"]},
        {"name": "half", "id": "ID2", "parents": ["ID1"], "children": ["ID4"],
         "inputFiles": ["l"], "outputFiles": ["lo"]},
        {"name": "half", "id": "ID3", "parents": ["ID1"], "children": ["ID4"],
         "inputFiles": ["r"], "outputFiles": ["ro"]},
        {"name": "join", "id": "ID4", "parents": ["ID2", "ID3"], "children": [], "inputFiles": ["lo"]}
      ],
      "files": [
        {"id": "in", "sizeInBytes": 9000}, {"id": "l", "sizeInBytes": 100000}, {"id": "r", "sizeInBytes": 200000},
        {"id": "lo", "sizeInBytes": 1000}, {"id": "ro", "sizeInBytes": 2000}
      ]
    },
    "execution": {
      "makespanInSeconds": 9,
      "executedAt": "2024-01-01T00:00:00Z",
      "tasks": [
        {"id": "ID1", "runtimeInSeconds": 0.5, "memoryInBytes": 1000000, "machines": ["other", "big"]},
        {"id": "ID2", "runtimeInSeconds": 2, "machines": ["other"]},
        {"id": "ID3", "runtimeInSeconds": 3},
        {"id": "ID4", "runtimeInSeconds": 1}
      ],
      "machines": [{"nodeName": "big", "cpu": {"coreCount": 8, "speedInMHz": 2000}}, {"nodeName": "other"}]
    }
  }
}
"""
